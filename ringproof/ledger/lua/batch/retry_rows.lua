-- needs: batch_rows
-- batch_again: rows whose outcome a person does not accept are fed once more; a completed batch is running again.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the batch   KEYS[8] - batches that are fed
--         KEYS[9] - the list's row bytes       KEYS[10] - the places that are fed again
--         ARGV[3] - name   ARGV[4] - list   ARGV[5…] - of each row its place, its byte and its country
-- output: how many are fed again: those that have that byte still
local name, list = ARGV[3], ARGV[4]
local state = redis.call('HGET', KEYS[7], 'state')
if state == 'importing' or state == 'cancelled' then return 0 end
local again = 0
for i = 5, #ARGV, 3 do
  local place, byte, country = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if redis.call('GETRANGE', KEYS[9], place, place) == byte then
    redis.call('RPUSH', KEYS[10], place)
    redis.call('SETRANGE', KEYS[9], place, '\0')
    tally(name, list, country, byte, -1)
    again = again + 1
  end
end
if again == 0 then return 0 end
redis.call('HINCRBY', KEYS[7], 'open', again)
if state == 'completed' then
  redis.call('HSET', KEYS[7], 'state', 'running')
  redis.call('HDEL', KEYS[7], 'completed_at')
  redis.call('ZADD', KEYS[8], 0, name)
  keep_batch(name)
end
return again
