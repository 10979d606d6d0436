-- begin: reserves a slot of the pace and claims, for each number that may be sent to now. What it claims is
-- `sending` before anybody has written a byte to Plivo. Without numbers it books one slot for another request.
-- input:  KEYS[1] - agenda   KEYS[2] - the account's bucket   KEYS[3] - policy   KEYS[4…] - the numbers' records
--         ARGV[1] - fence, random, the caller's token: asked again with it, what it claimed is told again
--         ARGV[2] - ms of the lease, counted from the slot    ARGV[3] - ms a code lives
--         ARGV[4], [5] - window and spacing in µs without a policy
--         ARGV[6], [7] - ms of the cooldown, and that a final record is kept, without a policy
--         ARGV[8…] - for each record its number and its request
-- output: for each record: verdict, a time, the record's fields; the verdict is
--         begun (µs until the slot), waiting (ms: due_at), ended (0) or nothing (0: not this request's turn);
--         without numbers: the µs until the slot
local fence, lease_ms, code_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local policy = redis.call('HMGET', KEYS[3], 'window_us', 'spacing_us', 'cooldown_ms', 'record_ms')
local window_us, spacing_us = tonumber(policy[1] or ARGV[4]), tonumber(policy[2] or ARGV[5])
local cooldown_ms, record_ms = tonumber(policy[3] or ARGV[6]), tonumber(policy[4] or ARGV[7])

-- Without a bucket Redis is new, or was emptied: what was sent before is unknown, so the first window is spent.
local next_us = tonumber(redis.call('GET', KEYS[2])) or now_us + window_us

local function reserve()
  local slot_us = math.max(now_us, next_us)
  next_us = slot_us + spacing_us
  return slot_us
end

local function begin(key, number, request)
  local record = read(key)
  if record.request ~= request then return 'nothing', 0 end
  if record.state == 'sending' and record.fence == fence then
    return 'begun', math.max(0, (milliseconds(record, 'lease_until') - lease_ms) * 1000 - now_us)
  end
  if record.state ~= 'queued' then return 'nothing', 0 end

  local ends_at, live_until = milliseconds(record, 'ends_at'), milliseconds(record, 'live_until')
  if ends_at <= math.max(now_us, next_us) / 1000 then  -- its end comes before the next slot
    change(key, record, KEYS[1], number, 'failed', 'too_late', nil, record_ms)
    return 'ended', 0
  end

  local not_before = live_until
  if record.resend then
    not_before = math.max(milliseconds(record, 'code_sent_at'), live_until - code_ms) + cooldown_ms
  end
  if not_before > now then
    redis.call('HSET', key, 'due_at', not_before)
    change(key, record, KEYS[1], number, 'waiting', 'cooldown', math.min(not_before, ends_at))
    return 'waiting', not_before
  end

  local slot_us = reserve()
  local lease_until = math.ceil(slot_us / 1000) + lease_ms
  redis.call('HSET', key, 'fence', fence, 'lease_until', lease_until, 'live_until', lease_until + code_ms)
  set_or_delete(key, 'live_before', record.live_until)
  redis.call('HINCRBY', key, 'attempts', 1)
  redis.call('HDEL', key, 'due_at', 'detail')
  change(key, record, KEYS[1], number, 'sending', '', lease_until)
  return 'begun', slot_us - now_us
end

local answers = {}
for i = 4, #KEYS do
  local verdict, at = begin(KEYS[i], ARGV[8 + 2 * (i - 4)], ARGV[9 + 2 * (i - 4)])
  answers[#answers + 1] = {verdict, at, redis.call('HGETALL', KEYS[i])}
end
if #KEYS == 3 then answers = reserve() - now_us end
redis.call('SET', KEYS[2], next_us)
return answers
