-- needs: clock
-- batch_open: begins the import of a batch, or goes on with one that was cut short.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the batch   KEYS[8] - who imports it   KEYS[9] - all batches
--         KEYS[10…11] - its lists   ARGV[3] - name   ARGV[4] - token   ARGV[5] - ms without a word until it counts as dead
--         ARGV[6] - token of an importer that is known to be dead ('': of none)
--         ARGV[7] - fingerprint ('': unknown)   ARGV[8] - source
-- output: what holds: opened, how many rows are in it, their digest; busy, the importer's token; or
--         exists, its state, 1 if its content is the same (0: it is not, or nobody knows)
local holder = redis.call('GET', KEYS[8])
local known = redis.call('HMGET', KEYS[7], 'state', 'fingerprint', 'digest')
local same = known[2] == ARGV[7]
if known[1] and (known[1] ~= 'importing' or not same) then
  return {'exists', known[1], same and ARGV[7] ~= '' and 1 or 0}
elseif holder and holder ~= ARGV[4] and holder ~= ARGV[6] then
  return {'busy', holder, 0}
end
redis.call('SET', KEYS[8], ARGV[4], 'PX', ARGV[5])
if not known[1] then
  redis.call('HSET', KEYS[7], 'state', 'importing', 'created_at', now, 'fingerprint', ARGV[7], 'source', ARGV[8])
  redis.call('ZADD', KEYS[9], now_us, ARGV[3])
end
return {'opened', redis.call('LLEN', KEYS[10]) + redis.call('LLEN', KEYS[11]), known[3] or ''}
