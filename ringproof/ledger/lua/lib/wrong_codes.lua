-- needs: arguments, clock, settings, changes, record, locks, metrics
-- The wrong codes of a number, over all of its codes: each `max_wrong_codes` of them lock the number, each time for
-- longer. In a record, `wrong` counts them, `wrong_at` (ms) is the time of the last one, and `locked_until` (ms) is the
-- end of the last lock.
-- A code counts as wrong when it is entered, so that many entries at once get no more tries. It is taken off the count
-- if Plivo takes it, or surely did not check it. A right code takes off nothing else: who enters it is perhaps not the
-- one who has guessed, and a guesser could wait for it to begin again.
local COUNTED_MS = 600000           -- wrong codes are counted by country for each ten minutes,
local COUNTS_KEPT_MS = 4200000      -- and `ringproof status` adds up those of the last hour

local function wrong_codes_of(record)
  return milliseconds(record, 'wrong_at') + WRONG_CODES_COUNT_MS > now and tonumber(record.wrong) or 0
end

local function is_locked(record)
  return milliseconds(record, 'locked_until') > now
end

local function count_entry(key, record)
  local wrong = wrong_codes_of(record) + 1
  put(key, 'wrong', wrong)
  if wrong == 1 then put(key, 'wrong_at', now) end
  if wrong % config.max_wrong_codes == 0 then
    local lock_ms = LOCKS_MS[math.min(wrong / config.max_wrong_codes, #LOCKS_MS)]
    put(key, 'locked_until', now + lock_ms)
  end
end

-- Takes an entry off the count. That ends the lock which it has begun.
local function uncount_entry(key, record)
  local wrong = wrong_codes_of(record)
  if wrong == 0 then return end
  if wrong % config.max_wrong_codes == 0 then drop(key, 'locked_until') end
  set_or_delete(key, 'wrong', wrong > 1 and wrong - 1)
end

-- Notes that Plivo has refused a code, for the number and for the place that the code was sent to.
local function note_wrong_code(key, destination)
  put(key, 'wrong_at', now)
  local counts_key = prefix .. ':wrong_codes:' .. math.floor(now / COUNTED_MS)
  redis.call('HINCRBY', counts_key, destination, 1)
  redis.call('PEXPIRE', counts_key, COUNTS_KEPT_MS)
  count_by_country('wrong_code', destination)
end

-- Returns the tries that are left: of the last sent code, and before the next lock.
local function tries_left(record, most_tries)
  if is_locked(record) then return 0 end
  local before_lock = config.max_wrong_codes - wrong_codes_of(record) % config.max_wrong_codes
  return math.max(0, math.min(most_tries - (tonumber(record.tries) or 0), before_lock))
end
