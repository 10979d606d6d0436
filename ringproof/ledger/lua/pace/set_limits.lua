-- needs: arguments, clock, settings, pace
-- Sets an operator's rates for a while, or puts the usual ones back.
-- input:  KEYS    the history of the limits
--         ARGV    ms for which they apply (0: put the usual ones back), the line of the history (JSON without times),
--                 and fields of the policy with their new values
-- output: until when, in ms
local history_key = KEYS[1]
local lasts_ms, line_json = unpack(ARGV, 3)
local fields = {unpack(ARGV, 5)}
local until_ms = now + tonumber(lasts_ms)
local line = cjson.decode(line_json)
line.at_ms, line.until_ms = now, until_ms
redis.call('RPUSH', history_key, cjson.encode(line))
redis.call('LTRIM', history_key, -100, -1)
redis.call('DEL', limits_key)
if until_ms > now then
  redis.call('HSET', limits_key, 'until_ms', until_ms, unpack(fields))
  redis.call('PEXPIRE', limits_key, lasts_ms)
end
forget_settings()
follow_rates()
save_pace()
return until_ms
