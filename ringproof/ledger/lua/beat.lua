-- needs: clock
-- Notes that a worker takes messages, and forgets the workers that have been silent for long.
-- input:  KEYS    the heartbeats
--         ARGV    the worker's name; what it says of itself, a JSON object with one field at least;
--                 ms of silence after which a worker is forgotten
local key, name, facts, forgotten_ms = KEYS[1], ARGV[3], ARGV[4], tonumber(ARGV[5])
redis.call('HSET', key, name, string.format('{"at": %.0f, %s', now, facts:sub(2)))
redis.call('PEXPIRE', key, forgotten_ms)
local beats = redis.call('HGETALL', key)
for i = 1, #beats, 2 do
  local at = tonumber(beats[i + 1]:match('^{"at": (%d+)'))
  if not at or now - at > forgotten_ms then redis.call('HDEL', key, beats[i]) end
end
