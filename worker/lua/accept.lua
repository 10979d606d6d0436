-- accept: a new request for one number, or why there is none.
-- input:  KEYS[1] - the number's record   KEYS[2] - agenda   KEYS[3] - the caller's token   KEYS[4] - policy
--         KEYS[5] - the number's earlier requests
--         ARGV[1] - number, E.164         ARGV[2] - the newcomer's column of the table: 'state[:live]=disposition …'
--         ARGV[3] - '1' for a resend      ARGV[4] - lane of the request
--         ARGV[5] - ms until it ends      ARGV[6] - ms until it is enqueued again
--         ARGV[7] - ms a code lives       ARGV[8] - ms a token is remembered
--         ARGV[9] - ms of the cooldown without a policy
--         ARGV[10] - ms an earlier request's outcome is kept, of the last eight
--         ARGV[11…] - the request's other fields and values
-- output: disposition, request (0: none), until when in ms (0: no matter), 1 if a person's request promoted it
local told = redis.call('GET', KEYS[3])
if told then return cjson.decode(told) end

local record, flat = read(KEYS[1])
local live_until = milliseconds(record, 'live_until')
local situation = (record.state or 'none') .. (live_until > now and ':live' or '')
local disposition
for row, answer in ARGV[2]:gmatch('(%S+)=(%S+)') do
  if row == situation then disposition = answer end
end

local cooldown = tonumber(redis.call('HGET', KEYS[4], 'cooldown_ms') or ARGV[9])
local last_send = math.max(milliseconds(record, 'code_sent_at'), live_until - tonumber(ARGV[7]))
local ends_at = now + tonumber(ARGV[5])
local request, until_when, promoted = tonumber(record.request) or 0, 0, 0
if disposition == 'accepted' and ARGV[3] == '1' and last_send + cooldown > now then
  disposition, until_when = 'cooling_down', last_send + cooldown
elseif disposition == 'accepted' then
  -- It starts at Redis' seconds, so that the number of an erased record is never used again.
  request = math.max(request + 1, math.floor(now / 1000))
elseif disposition == 'in_doubt' then
  until_when = live_until
elseif disposition == 'same' and ARGV[4] == 'interactive' and record.lane ~= 'interactive'
    and (record.state == 'queued' or record.state == 'waiting') then
  promoted = 1
end

-- The first write is one that Redis refuses when it is out of memory: a DEL would open the door to the others.
local answer = {disposition, request, until_when, promoted}
redis.call('SET', KEYS[3], cjson.encode(answer), 'PX', ARGV[8])

if disposition == 'accepted' then
  if record.request then
    local kept = redis.call('HKEYS', KEYS[5])
    table.sort(kept, function(a, b) return tonumber(a) < tonumber(b) end)
    if #kept >= 8 then redis.call('HDEL', KEYS[5], kept[1]) end
    redis.call('HSET', KEYS[5], record.request, cjson.encode(flat))
    redis.call('PEXPIRE', KEYS[5], ARGV[10])
  end
  redis.call('DEL', KEYS[1])
  -- What stays true of the number whatever is asked for it: the codes that may live, the last one's uuid.
  for _, field in ipairs({'live_until', 'verification_uuid', 'api_id', 'code_sent_at', 'expires_at', 'verified_at'}) do
    if record[field] then redis.call('HSET', KEYS[1], field, record[field]) end
  end
  redis.call('HSET', KEYS[1], 'request', request, 'lane', ARGV[4], 'ends_at', ends_at, unpack(ARGV, 11))
  set_or_delete(KEYS[1], 'resend', ARGV[3] == '1' and '1')
  change(KEYS[1], record, KEYS[2], ARGV[1], 'queued', '', math.min(now + tonumber(ARGV[6]), ends_at))
elseif promoted == 1 then
  for field in pairs(record) do
    if field:find('^alias') or field == 'subaccount' then redis.call('HDEL', KEYS[1], field) end
  end
  redis.call('HSET', KEYS[1], 'lane', ARGV[4], 'ends_at', ends_at, 'updated_at', now, unpack(ARGV, 11))
  redis.call('ZADD', KEYS[2], 'LT', ends_at, ARGV[1])
end
return answer
