-- accept: a new request for one number, or why there is none.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin
--         KEYS[7] - the number's record   KEYS[8] - the caller's token   KEYS[9] - the number's earlier requests
--         ARGV[3] - number, E.164         ARGV[4] - the newcomer's column of the table: 'state[:live]=disposition …'
--         ARGV[5] - '1' for a resend      ARGV[6] - lane of the request
--         ARGV[7] - ms until it ends      ARGV[8] - ms a token is remembered
--         ARGV[9] - channel               ARGV[10] - country
--         ARGV[11…] - the request's other fields and values
-- output: disposition, request (0: none), until when in ms (0: no matter), 1 if a person's request promoted it,
--         the limit that refused it ('': none)
local number, lane, key = ARGV[3], ARGV[6], KEYS[7]
local held = {quiet_hours = true, cap = true, pace = true, paused = true}  -- what begin looks at anew
local told = redis.call('GET', KEYS[8])
if told then return cjson.decode(told) end

local record, flat = recall(key, number)
local live_until = milliseconds(record, 'live_until')
local situation = (record.state or 'none') .. (live_until > now and ':live' or '')
local disposition
for row, answer in ARGV[4]:gmatch('(%S+)=(%S+)') do
  if row == situation then disposition = answer end
end

local last_send = math.max(milliseconds(record, 'code_sent_at'), live_until - facts.code_ms)
local ends_at = now + tonumber(ARGV[7])
local request, until_when, promoted, limit = tonumber(record.request) or 0, 0, 0, ''
if disposition == 'accepted' then
  local allowed = facts.countries == '' or (',' .. facts.countries .. ','):find(',' .. ARGV[10] .. ',', 1, true)
  if not allowed then
    disposition = 'country'
    redis.call('HINCRBY', KEYS[6], 'countries', 1)
  elseif ARGV[5] == '1' and last_send + facts.cooldown_ms > now then
    disposition, until_when = 'cooling_down', last_send + facts.cooldown_ms
  elseif lane == 'interactive' then
    local found, until_ms = capped(record, number, lane, ARGV[9])
    if found then disposition, until_when, limit = 'capped', until_ms, found end
  end
end
if disposition == 'accepted' then
  -- It starts at Redis' seconds, so that the number of an erased record is never used again.
  request = math.max(request + 1, math.floor(now / 1000))
elseif disposition == 'in_doubt' then
  until_when = live_until
elseif disposition == 'same' and lane == 'interactive' and record.lane ~= 'interactive'
    and (record.state == 'queued' or record.state == 'waiting') then
  promoted = 1
end

-- The first write is one that Redis refuses when it is out of memory: a DEL would open the door to the others.
local answer = {disposition, request, until_when, promoted, limit}
redis.call('SET', KEYS[8], cjson.encode(answer), 'PX', ARGV[8])

if disposition == 'accepted' then
  if record.request then
    local kept = redis.call('HKEYS', KEYS[9])
    table.sort(kept, function(a, b) return tonumber(a) < tonumber(b) end)
    if #kept >= 8 then redis.call('HDEL', KEYS[9], kept[1]) end
    redis.call('HSET', KEYS[9], record.request, cjson.encode(flat))
    redis.call('PEXPIRE', KEYS[9], facts.earlier_ms)
  end
  redis.call('DEL', key)
  -- What stays true of the number whatever is asked for it: the codes that may live, the last one's uuid, how many.
  for _, field in ipairs({'live_until', 'verification_uuid', 'api_id', 'code_sent_at', 'expires_at', 'verified_at',
      'tries', 'confirm', 'codes', 'calls'}) do
    if record[field] then redis.call('HSET', key, field, record[field]) end
  end
  redis.call('HSET', key, 'request', request, 'lane', lane, 'channel', ARGV[9], 'ends_at', ends_at)
  set_or_delete(key, 'country', ARGV[10])
  set_or_delete(key, 'resend', ARGV[5] == '1' and '1')
  if ARGV[11] then redis.call('HSET', key, unpack(ARGV, 11)) end
  change(key, record, number, 'queued', '', math.min(now + facts.enqueue_again_ms, ends_at))
elseif promoted == 1 then
  for field in pairs(record) do
    if field:find('^alias') or field == 'subaccount' then redis.call('HDEL', key, field) end
  end
  redis.call('HSET', key, 'lane', lane, 'channel', ARGV[9], 'ends_at', ends_at, 'updated_at', now)
  set_or_delete(key, 'country', ARGV[10])
  if ARGV[11] then redis.call('HSET', key, unpack(ARGV, 11)) end
  if record.state == 'waiting' and held[record.reason] then  -- a person is awake, and is told at once of a limit
    redis.call('HDEL', key, 'due_at', 'detail')
    change(key, record, number, 'queued', '', math.min(now + facts.enqueue_again_ms, ends_at))
  else
    redis.call('ZADD', KEYS[1], 'LT', ends_at, number)
  end
end
return answer
