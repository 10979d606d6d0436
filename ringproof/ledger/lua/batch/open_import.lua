-- needs: clock
-- Begins the import of a batch, or continues one that was interrupted.
-- input:  KEYS    the batch, its importer, the batches, its lists
--         ARGV    name, the importer's token, ms without a sign of life after which an importer counts as dead,
--                 the token of an importer that is known to be dead ('': none), fingerprint ('': unknown), source
-- output: opened, how many rows are stored, their digest, how many rejected rows are stored; or
--         busy, the other importer's token; or
--         exists, the batch's state, 1 if its content is the same (0: it is not, or that is unknown)
local batch_hash, importer_key, batches_key, first_list, second_list = unpack(KEYS)
local name, token, silence_ms, dead_token, fingerprint, source = unpack(ARGV, 3)
local holder = redis.call('GET', importer_key)
local state, stored_fingerprint, digest = unpack(redis.call('HMGET', batch_hash, 'state', 'fingerprint', 'digest'))
local is_same = stored_fingerprint == fingerprint
if state and (state ~= 'importing' or not is_same) then
  return {'exists', state, is_same and fingerprint ~= '' and 1 or 0, 0}
elseif holder and holder ~= token and holder ~= dead_token then
  return {'busy', holder, 0, 0}
end
redis.call('SET', importer_key, token, 'PX', silence_ms)
if not state then
  redis.call('HSET', batch_hash, 'state', 'importing', 'created_at', now, 'fingerprint', fingerprint, 'source', source)
  redis.call('ZADD', batches_key, now_us, name)
end
local rows = redis.call('LLEN', first_list) + redis.call('LLEN', second_list)
return {'opened', rows, digest or '', redis.call('HGET', batch_hash, 'rejected') or 0}
