-- needs: arguments, clock, settings, pace
-- Sets an operator's rates for a while, or puts the usual ones back.
-- input:  KEYS    the history of the limits
--         ARGV    ms for which they apply (0: put the usual ones back), the line of the history (JSON without times),
--                 and fields of the policy with their new values
-- output: until when, in ms
-- Slots that were reserved at the old rates are revoked. Plivo's window still counts what was sent at them, so the
-- first window counts as used.
local history_key = KEYS[7]
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
  for i = 1, #fields, 2 do config[fields[i]] = tonumber(fields[i + 1]) or fields[i + 1] end
end
set_pace('account', math.max(now_us + config.window_us, pace.closed or 0))
set_pace('call', math.max(now_us + config.call_window_us, pace.closed or 0))
set_pace('changed', now)
save_pace()
return until_ms
