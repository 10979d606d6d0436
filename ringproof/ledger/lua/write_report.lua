-- needs: arguments, clock
-- Notes what a process says of itself, and forgets the processes that have been silent for long.
-- input:  KEYS    the reports; with a second key, the prefixes, where ours is noted in the same way
--         ARGV    the report's name; what the process says, a JSON object with one field at least;
--                 ms of silence after which a report is forgotten;
--                 and for each moment that it names: the name, and how long (ms) ago it was
local name, facts, forgotten_ms = ARGV[3], ARGV[4], tonumber(ARGV[5])

-- Forgets what is too old. `at_of` returns the moment (ms) of a value.
local function forget(key, at_of)
  redis.call('PEXPIRE', key, forgotten_ms)
  local reports = redis.call('HGETALL', key)
  for i = 1, #reports, 2 do
    local at = at_of(reports[i + 1])
    if not at or now - at > forgotten_ms then redis.call('HDEL', key, reports[i]) end
  end
end

local moments = string.format('{"at": %.0f, ', now)
for i = 6, #ARGV, 2 do
  moments = moments .. string.format('"%s": %.0f, ', ARGV[i], now - ARGV[i + 1])
end
redis.call('HSET', KEYS[1], name, moments .. facts:sub(2))
forget(KEYS[1], function(report) return tonumber(report:match('^{"at": (%d+)')) end)
if KEYS[2] then
  redis.call('HSET', KEYS[2], prefix, string.format('%.0f', now))
  forget(KEYS[2], tonumber)
end
