-- Puts messages that were set aside for a newer version back into their queues: behind all others.
-- input:  KEYS    the messages that were set aside, the queues
--         ARGV    messages at most
-- output: how many were put back
local aside_key = KEYS[1]
local most = tonumber(ARGV[3])
local is_queue = {}
for i = 2, #KEYS do is_queue[KEYS[i]] = true end
local put_back = 0
for _ = 1, math.min(most, redis.call('LLEN', aside_key)) do
  local entry = redis.call('RPOP', aside_key)
  local queue, message = entry:match('^([^\n]*)\n(.*)$')
  if is_queue[queue] then
    redis.call('LPUSH', queue, message)
    put_back = put_back + 1
  else
    redis.call('LPUSH', aside_key, entry)  -- a queue that only a newer version knows
  end
end
return put_back
