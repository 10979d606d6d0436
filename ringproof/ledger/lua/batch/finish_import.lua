-- needs: settings, batch_state, batch_rows, changes
-- Ends an import after its last row: the feeder feeds the batch from now on, unless it starts paused.
-- input:  KEYS    the batch, its importer, the batches that are fed, its lists
--         ARGV    name, the importer's token, how many rows the batch has, '1' to start it paused,
--                 the period of its numbers' re-verification in days ('': they have none of their own),
--                 the batch that pays for its codes ('': it has no prices); and if that is itself, its prices, its
--                 budget ('': none) and its currency, as lib/budget has them
-- output: 1; or 0 if another importer has taken over, or the import has ended
local batch_hash, importer_key, feeding_key, first_list, second_list = unpack(KEYS)
local name, token, expected_rows, is_paused, reverify_after, pays, prices, budget, currency = unpack(ARGV, 3)
if redis.call('HGET', batch_hash, 'finished_by') == token then return 1 end
local holder = redis.call('GET', importer_key)
local rows = redis.call('LLEN', first_list) + redis.call('LLEN', second_list)
if holder and holder ~= token or redis.call('HGET', batch_hash, 'state') ~= 'importing'
    or rows ~= tonumber(expected_rows) then
  return 0
end
redis.call('HSET', batch_hash, 'state', is_paused == '1' and 'paused' or 'running', 'open', rows, 'finished_by', token)
set_or_delete(batch_hash, 'reverify_after', reverify_after)
set_or_delete(batch_hash, 'pays', pays)
if pays == name then
  put(batch_hash, 'prices', prices, 'currency', currency, 'spent', 0)
  set_or_delete(batch_hash, 'budget', budget)
elseif pays ~= '' and redis.call('PTTL', batch_key(pays)) >= 0 then
  expire_batch(pays, config.record_ms)  -- it has ended, and is kept for as long as its resend may need it
end
redis.call('ZADD', feeding_key, 0, name)
redis.call('DEL', importer_key)
if rows == 0 then complete_batch(name) end
return 1
