-- needs: batch_state
-- Returns the names of all batches, and forgets those whose keys have expired.
-- input:  KEYS    the batches
-- output: the names, newest first
local batches_key = KEYS[1]
local names = {}
for _, name in ipairs(redis.call('ZREVRANGE', batches_key, 0, -1)) do
  if batch_state(name) then
    names[#names + 1] = name
  else
    redis.call('ZREM', batches_key, name)
  end
end
return names
