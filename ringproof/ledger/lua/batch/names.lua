-- needs: batch_state
-- batch_names: the names of all batches; those whose keys have expired are forgotten here.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - all batches
-- output: the names, newest first
local names = {}
for _, name in ipairs(redis.call('ZREVRANGE', KEYS[7], 0, -1)) do
  if batch_state(name) then
    names[#names + 1] = name
  else
    redis.call('ZREM', KEYS[7], name)
  end
end
return names
