-- needs: batch_rows
-- Has the feeder feed rows once more, for an operator. A completed batch runs again.
-- input:  KEYS    the batch, the batches that are fed, the list's bytes, the places of its retries
--         ARGV    the batch's name, the list's name, and for each row its place, its byte and its country
-- output: how many rows are fed once more: those that still have that byte
local batch_hash, feeding_key, bytes_key, retries_key = unpack(KEYS)
local name, list = unpack(ARGV, 3)
local state = redis.call('HGET', batch_hash, 'state')
if state ~= 'running' and state ~= 'paused' and state ~= 'completed' then return 0 end
local retried = 0
for i = 5, #ARGV, 3 do
  local place, byte, country = unpack(ARGV, i, i + 2)
  if redis.call('GETRANGE', bytes_key, place, place) == byte then
    redis.call('RPUSH', retries_key, place)
    redis.call('SETRANGE', bytes_key, place, '\0')
    count_row(rows_of(name, list), country, byte, -1)
    retried = retried + 1
  end
end
if retried == 0 then return 0 end
redis.call('HINCRBY', batch_hash, 'open', retried)
if state == 'completed' then
  redis.call('HSET', batch_hash, 'state', 'running')
  redis.call('HDEL', batch_hash, 'completed_at')
  redis.call('ZADD', feeding_key, 0, name)
  expire_batch(name, nil)
end
return retried
