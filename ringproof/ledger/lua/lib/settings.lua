-- needs: clock
-- facts: what every script is told: durations, and the policy. Put in front of each of them.
-- needs: now   KEYS[2] - policy   KEYS[3] - limits that a person has set for a while   ARGV[1] - JSON
-- gives: DAY_MS, and facts, a table: durations and the policy where workers have told none, overlaid by what they told, and that
--        by the limits while they last
local DAY_MS = 86400000
local facts = cjson.decode(ARGV[1])

local function overlay(key)
  local told, flat = {}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do told[flat[i]] = tonumber(flat[i + 1]) or flat[i + 1] end
  if told.until_ms and told.until_ms <= now then return end
  for name, value in pairs(told) do facts[name] = value end
end

overlay(KEYS[2])
overlay(KEYS[3])
