-- needs: arguments, clock, settings, pace
-- Sets an operator's rates for a while, or lifts the caps for blocks of numbers. Or ends all of that.
-- input:  KEYS    the history of the limits
--         ARGV    ms for which this applies (0: end all), the line of the history (JSON without times; `over_cap` lists
--                 the blocks whose caps are lifted), and fields of the policy with their new values (none: the rates
--                 stay as they are)
-- output: until when, in ms
local history_key = KEYS[1]
local lasts_ms, line_json = unpack(ARGV, 3)
local fields = {unpack(ARGV, 5)}
local until_ms = now + tonumber(lasts_ms)
local line = cjson.decode(line_json)
line.at_ms, line.until_ms = now, until_ms
redis.call('RPUSH', history_key, cjson.encode(line))
redis.call('LTRIM', history_key, -100, -1)

-- Removes what no longer applies, and returns when (ms) the last of the rest ends.
local function keep_the_others()
  local last_end, flat = now, redis.call('HGETALL', limits_key)
  for i = 1, #flat, 2 do
    local is_block, ends_at = flat[i]:find('^over_cap:'), tonumber(flat[i + 1])
    if is_block and ends_at <= now or not is_block and fields[1] then
      redis.call('HDEL', limits_key, flat[i])
    elseif is_block or flat[i] == 'until_ms' then
      last_end = math.max(last_end, ends_at)
    end
  end
  return last_end
end

if until_ms <= now then
  redis.call('DEL', limits_key)
else
  local last_end = math.max(until_ms, keep_the_others())
  if fields[1] then redis.call('HSET', limits_key, 'until_ms', until_ms, unpack(fields)) end
  for _, block in ipairs(line.over_cap or {}) do redis.call('HSET', limits_key, 'over_cap:' .. block, until_ms) end
  redis.call('PEXPIRE', limits_key, last_end - now)
end
forget_settings()
follow_rates()
save_pace()
return until_ms
