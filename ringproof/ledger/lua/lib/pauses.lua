-- needs: clock, record, batch_state, transition
-- pauses: what keeps everybody, or a lane, from being sent to; and what an answer of Plivo's says to all the others.
-- needs: now, facts, close, read, change, batch_state   KEYS[5] - pauses, a hash (times in ms):
--   person:all, person:LANE, and each with :reason   since when; until a person resumes
--   credentials, credentials_probe    since when Plivo does not know them (401); when it is asked again
--   suspect, suspect_request, suspect_slot, suspect_until   the number that got a 402 or 403: another one tells whose
--                                     fault it is; alone, the number itself is asked again at suspect_until
--   account, account_slot, account_until    since when the account is refused; when one is sent to first
--   doubts, doubts_wait, doubts_until, doubts_row    the same after doubts in a row
--   probe, probe_until                the fence of the one that is sent to first, and its lease
--        ARGV[2] - what all keys begin with: the suspect's record is found by its number, so it cannot be in KEYS
local LOOK_MS = {interactive = 5000, scheduled = 30000, bulk = 30000}  -- how often a paused number is looked at
local PROBE_MS = 30000            -- how often a refused account is tried
local BATCH_LOOK_MS = 600000      -- the same for a paused batch: its resume is told to each of its numbers
local SHORT_MS = 250              -- while one is sent to first, whoever may be next asks again

local pauses = {}
do
  local flat = redis.call('HGETALL', KEYS[5])
  for i = 1, #flat, 2 do pauses[flat[i]] = flat[i + 1] end
end

local function since(field) return tonumber(pauses[field]) or 0 end

local function pause(fields)
  for field, value in pairs(fields) do
    pauses[field] = tostring(value)
    redis.call('HSET', KEYS[5], field, value)
  end
end

local function lift(...)
  for _, field in ipairs({...}) do
    if pauses[field] then
      pauses[field] = nil
      redis.call('HDEL', KEYS[5], field)
    end
  end
end

-- Until when (ms) nobody of this lane is sent to, as far as is known; nil if it is not paused.
local function paused(lane)
  local at = math.max(since('account_until'), since('doubts_until'))
  if pauses['person:all'] or pauses['person:' .. lane] or pauses.credentials then
    return math.max(at, now + LOOK_MS[lane])
  end
  return at > now and at or nil
end

-- Whether a number that was begun is not to be sent to any more.
local function is_held(record)
  local word = batch_word(record)
  return paused(record.lane) or word == 'paused' or word == 'cancelled'
end

-- What becomes of a number that would be sent to: nil (it may), 'paused' and until when, 'later', and when to ask
-- again, or 'first': all the others wait for what becomes of it.
local function gate(lane, number)
  local at = paused(lane)
  if at then return 'paused', at end
  if not (pauses.account or pauses.doubts or pauses.suspect) then return nil end
  if pauses.suspect == number and since('suspect_until') > now then return 'paused', since('suspect_until') end
  if since('probe_until') > now then return 'later', now + SHORT_MS end
  return 'first'
end

-- A number waits out a pause, of all (`paused`) or of its batch (`batch_paused`); what nobody waits for in front of a screen has as much longer to its end.
local function wait_out(key, record, number, at, reason)
  local ends_at = milliseconds(record, 'ends_at')
  local again = record.state == 'waiting' and record.reason == reason
  if record.lane ~= 'interactive' then
    ends_at = ends_at + at - (again and milliseconds(record, 'due_at') or now)
    redis.call('HSET', key, 'ends_at', ends_at)
  end
  redis.call('HSET', key, 'due_at', at)
  if again then
    redis.call('ZADD', KEYS[1], math.min(at, ends_at), number)
  else
    change(key, record, number, 'waiting', reason, math.min(at, ends_at))
  end
end
