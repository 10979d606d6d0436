-- needs: clock
-- Claims a tick for one worker. The key stays: a worker that starts sees in it when the last tick was.
-- input:  KEYS    the tick
--         ARGV    ms between two ticks
-- output: 1, or 0 if another worker has claimed this tick; the time of this claim, and of the one before (ms; false:
--         none is known)
local key, every_ms = KEYS[1], tonumber(ARGV[3])
local claimed_at = redis.call('GET', key)
if claimed_at and math.abs(now - claimed_at) < every_ms then return {0, now, claimed_at} end
redis.call('SET', key, now)
return {1, now, claimed_at}
