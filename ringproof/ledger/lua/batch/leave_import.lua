-- Ends an importer's work on a batch: another importer may go on at once, or the batch is deleted.
-- input:  KEYS    the batch, its importer, the batches, and all other keys of the batch
--         ARGV    name, the importer's token, '1' to delete the batch, if its import has not ended
-- output: none
local batch_hash, importer_key, batches_key = unpack(KEYS)
local name, token, is_deleted = unpack(ARGV, 3)
local holder = redis.call('GET', importer_key)
if holder and holder ~= token then return end
redis.call('DEL', importer_key)
if is_deleted == '1' and redis.call('HGET', batch_hash, 'state') == 'importing' then
  redis.call('UNLINK', unpack(KEYS, 4))
  redis.call('UNLINK', batch_hash)
  redis.call('ZREM', batches_key, name)
end
