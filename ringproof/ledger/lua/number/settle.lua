-- needs: clock, settings, record, transition, limits, pace, plivo_signal
-- settle: what became of a request, told by whoever holds its fence; without a fence, by whoever takes it back.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the number's record
--         ARGV[3] - number, E.164         ARGV[4] - request    ARGV[5] - fence ('': a cancel)
--         ARGV[6] - state it goes to      ARGV[7] - reason     ARGV[8] - detail
--         ARGV[9] - ms it waits (for `waiting`)                ARGV[10] - '1' if the attempt is not counted
--         ARGV[11] - verification_uuid    ARGV[12] - api_id    ARGV[13] - ms since Plivo answered
--         ARGV[14] - news, as hear has them   ARGV[15] - ms that Plivo asked for ('': none)
-- output: settled; already (the same was told before); stale (somebody else's turn: nothing was changed)
local key, number, request, fence, state, reason = KEYS[7], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local record = read(key)
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
redis.call('HDEL', key, 'lease_until')
local slot = milliseconds(record, 'live_until') - facts.code_ms - facts.lease_ms
local due_at = now + tonumber(ARGV[9])
local fate, fate_due_at = hear(ARGV[14], slot, tonumber(ARGV[15]), fence, number, request)
if fate == 'waiting' then due_at = fate_due_at end
if fate == 'waiting' and ARGV[14] == 'forbidden' then state, reason = 'waiting', 'paused' end

local when
if state == 'code_sent' then
  local sent_at = now - tonumber(ARGV[13])
  when = sent_at + facts.code_ms
  redis.call('HSET', key, 'verification_uuid', ARGV[11], 'api_id', ARGV[12],
    'code_sent_at', sent_at, 'expires_at', when, 'live_until', when)
  redis.call('HDEL', key, 'live_before', 'tries', 'confirm')
elseif state == 'in_doubt' then
  when = milliseconds(record, 'live_until')
elseif state == 'verified' then
  redis.call('HSET', key, 'verified_at', now, 'verification_uuid', ARGV[11])
  redis.call('HDEL', key, 'live_until', 'live_before')
else
  if fence ~= '' and not undecided then unsent(key, record, number, ARGV[10] ~= '1' and fate ~= 'waiting') end
  if state == 'waiting' then
    redis.call('HSET', key, 'due_at', due_at)
    when = math.min(due_at, milliseconds(record, 'ends_at'))
  else
    redis.call('HDEL', key, 'due_at')
  end
end
set_or_delete(key, 'detail', ARGV[8])
change(key, record, number, state, reason, when)
keep_pace()
return 'settled'
