-- needs: changes
-- Notes how far the feeder has notified the rows of a batch.
-- input:  KEYS    the batch, the batches that are fed
--         ARGV    name, `notify_from` as the feeder has read it, and its new value ('': all rows are notified)
-- output: none. Nothing changes if an operator has changed the batch's state meanwhile
local batch_hash, feeding_key = unpack(KEYS)
local name, notify_from, next_from = unpack(ARGV, 3)
if redis.call('HGET', batch_hash, 'notify_from') ~= notify_from then return end
set_or_delete(batch_hash, 'notify_from', next_from)
if next_from == '' and redis.call('HGET', batch_hash, 'state') == 'cancelled' then
  redis.call('ZREM', feeding_key, name)
end
