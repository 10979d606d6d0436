-- needs: clock, settings, record, transition, tombstone, request
-- accept: a new request for one number, or why there is none.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin
--         KEYS[7] - the number's record   KEYS[8] - the caller's token
--         ARGV[3] - number, E.164         ARGV[4] - the newcomer's column of the table: 'state[:live]=disposition …'
--         ARGV[5] - '1' for a resend      ARGV[6] - lane of the request
--         ARGV[7] - ms until it ends      ARGV[8] - ms a token is remembered
--         ARGV[9] - channel               ARGV[10] - country
--         ARGV[11…] - the request's other fields and values
-- output: disposition, request (0: none), until when in ms (0: no matter), 1 if a person's request promoted it,
--         the limit that refused it ('': none)
local number, key = ARGV[3], KEYS[7]
-- What begin looks at anew for a person, who is awake, is told at once of a limit, and has no part in the batch.
local held = {quiet_hours = true, cap = true, pace = true, paused = true, batch_paused = true}
local told = redis.call('GET', KEYS[8])
if told then return cjson.decode(told) end

-- What follows upon a request, its own repetition or a re-verification, does not bring an erased number back.
local fields = {}
for i = 11, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
local follows = fields.again or fields.reverifies
if follows and redis.call('EXISTS', key) == 0 then return {'gone', 0, 0, 0, ''} end

local record, flat = recall(key, number)
local asked = {
  column = column(ARGV[4]), resend = ARGV[5] == '1' or nil, lane = ARGV[6], ends_at = now + tonumber(ARGV[7]),
  channel = ARGV[9], country = ARGV[10], asleep_until = 0, fields = {unpack(ARGV, 11)},
}
local disposition, request, until_when, limit = consider(record, number, asked)
local promoted = disposition == 'same' and asked.lane == 'interactive' and record.lane ~= 'interactive'
  and (record.state == 'queued' or record.state == 'waiting')

-- The first write is one that Redis refuses when it is out of memory: a DEL would open the door to the others.
local answer = {disposition, request, until_when, promoted and 1 or 0, limit}
redis.call('SET', KEYS[8], cjson.encode(answer), 'PX', ARGV[8])

if disposition == 'accepted' then
  take_in(key, record, flat, number, request, asked)
elseif promoted then
  drop_alias(key, record)
  redis.call('HDEL', key, 'subaccount', 'reverifies')
  redis.call('HSET', key, 'lane', asked.lane, 'channel', asked.channel, 'ends_at', asked.ends_at, 'updated_at', now)
  set_or_delete(key, 'country', asked.country)
  if asked.fields[1] then redis.call('HSET', key, unpack(asked.fields)) end
  if record.state == 'waiting' and held[record.reason] then
    redis.call('HDEL', key, 'due_at', 'detail')
    change(key, record, number, 'queued', '', math.min(now + facts.enqueue_again_ms, asked.ends_at))
  else
    redis.call('ZADD', KEYS[1], 'LT', asked.ends_at, number)
  end
end
return answer
