-- needs: arguments
-- The time of all scripts, by Redis' own clock. Tests put another piece in its place.
-- Gives `now_us` (µs since 1970) and `now` (ms).
local LARGEST_STEP_US = 500000  -- far longer than a call takes; smaller steps do little harm
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)

-- If the time is another than the caller expects, the clock has jumped, or the call was under way for long. Then the
-- script changes nothing, and the caller measures the clock first (ringproof/ledger/clock_watch.py).
if expected_us ~= '' and math.abs(now_us - expected_us) > LARGEST_STEP_US then
  return redis.error_reply('CLOCK is another than the caller expects')
end
