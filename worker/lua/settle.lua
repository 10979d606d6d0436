-- settle: what became of a request, told by whoever holds its fence; without a fence, by whoever takes it back.
-- input:  KEYS[1] - the number's record   KEYS[2] - agenda   KEYS[3] - policy
--         ARGV[1] - number, E.164         ARGV[2] - request    ARGV[3] - fence ('': a cancel)
--         ARGV[4] - state it goes to      ARGV[5] - reason     ARGV[6] - detail
--         ARGV[7] - ms it waits (for `waiting`)                ARGV[8] - '1' if the attempt is not counted
--         ARGV[9] - ms a code lives       ARGV[10] - ms a record is kept without a policy
--         ARGV[11] - verification_uuid    ARGV[12] - api_id    ARGV[13] - ms since Plivo answered
-- output: settled; already (the same was told before); stale (somebody else's turn: nothing was changed)
local number, request, fence, state, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local code_ms = tonumber(ARGV[9])
local record = read(KEYS[1])
if record.request ~= request then return 'stale' end

if fence == '' then
  if record.state == state then return 'already' end
  if record.state ~= 'queued' and record.state ~= 'waiting' then return 'stale' end
else
  if record.fence ~= fence then return 'stale' end
  -- A worker that was only slow may still tell what became of its doubtful request.
  local open = record.state == 'sending' or (record.state == 'in_doubt' and state ~= 'in_doubt')
  if not open then return record.state == state and 'already' or 'stale' end
end

-- A doubt that ends undecided ends after the last code that may exist, never before.
local undecided = reason == 'in_doubt' or reason == 'crashes_worker'
if undecided and milliseconds(record, 'live_until') > now then return 'stale' end

-- The first write frees memory, which Redis allows when it is out of it, and then the rest: an answer is not lost.
local when, keep_ms
redis.call('HDEL', KEYS[1], 'lease_until')
if state == 'code_sent' then
  local sent_at = now - tonumber(ARGV[13])
  when = sent_at + code_ms
  redis.call('HSET', KEYS[1], 'verification_uuid', ARGV[11], 'api_id', ARGV[12],
    'code_sent_at', sent_at, 'expires_at', when, 'live_until', when)
  redis.call('HDEL', KEYS[1], 'live_before')
elseif state == 'in_doubt' then
  when = milliseconds(record, 'live_until')
elseif state == 'verified' then
  redis.call('HSET', KEYS[1], 'verified_at', now, 'verification_uuid', ARGV[11])
  redis.call('HDEL', KEYS[1], 'live_until', 'live_before')
else
  -- Surely not sent by this attempt: what lived before it lives on.
  if fence ~= '' and not undecided then
    set_or_delete(KEYS[1], 'live_until', record.live_before)
    redis.call('HDEL', KEYS[1], 'live_before')
    if ARGV[8] == '1' then redis.call('HINCRBY', KEYS[1], 'attempts', -1) end
  end
  if state == 'waiting' then
    local due_at = now + tonumber(ARGV[7])
    redis.call('HSET', KEYS[1], 'due_at', due_at)
    when = math.min(due_at, milliseconds(record, 'ends_at'))
  else
    redis.call('HDEL', KEYS[1], 'due_at')
    keep_ms = redis.call('HGET', KEYS[3], 'record_ms') or ARGV[10]
  end
end
set_or_delete(KEYS[1], 'detail', ARGV[6])
change(KEYS[1], record, KEYS[2], number, state, reason, when, keep_ms)
return 'settled'
