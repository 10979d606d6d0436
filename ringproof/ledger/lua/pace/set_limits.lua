-- needs: clock, settings, pace
-- limit: a person sets other limits for a while, or puts the usual ones back.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - history
--         ARGV[3] - ms that they hold (0: put the usual ones back)   ARGV[4] - the history's line, JSON without times
--         ARGV[5…] - fields and values over the policy's
-- output: until when in ms
-- What was booked under the pace before goes back; and what was sent under it is in Plivo's window still, so the first
-- one is spent.
local until_ms = now + tonumber(ARGV[3])
local line = cjson.decode(ARGV[4])
line.at_ms, line.until_ms = now, until_ms
redis.call('RPUSH', KEYS[7], cjson.encode(line))
redis.call('LTRIM', KEYS[7], -100, -1)
redis.call('DEL', KEYS[3])
if until_ms > now then
  redis.call('HSET', KEYS[3], 'until_ms', until_ms, unpack(ARGV, 5))
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
  for i = 5, #ARGV, 2 do facts[ARGV[i]] = tonumber(ARGV[i + 1]) or ARGV[i + 1] end
end
move('account', math.max(now_us + facts.window_us, pace.closed or 0))
move('call', math.max(now_us + facts.call_window_us, pace.closed or 0))
move('changed', now)
keep_pace()
return until_ms
