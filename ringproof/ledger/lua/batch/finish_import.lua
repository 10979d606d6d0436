-- needs: record, batch_rows
-- batch_finish: the last row is in: from now on the batch is fed, unless it is to be paused first.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the batch   KEYS[8] - who imports it
--         KEYS[9] - batches that are fed       KEYS[10…11] - its lists
--         ARGV[3] - name   ARGV[4] - token     ARGV[5] - how many rows are in it   ARGV[6] - '1': paused
--         ARGV[7] - its numbers' own period in days ('': they have none)
-- output: 1; or 0 if somebody else imports it, or has
if redis.call('HGET', KEYS[7], 'finished_by') == ARGV[4] then return 1 end
local holder = redis.call('GET', KEYS[8])
local rows = redis.call('LLEN', KEYS[10]) + redis.call('LLEN', KEYS[11])
if holder and holder ~= ARGV[4] or redis.call('HGET', KEYS[7], 'state') ~= 'importing' or rows ~= tonumber(ARGV[5]) then
  return 0
end
redis.call('HSET', KEYS[7], 'state', ARGV[6] == '1' and 'paused' or 'running', 'open', rows, 'finished_by', ARGV[4])
set_or_delete(KEYS[7], 'reverify_after', ARGV[7])
redis.call('ZADD', KEYS[9], 0, ARGV[3])
redis.call('DEL', KEYS[8])
if rows == 0 then complete(ARGV[3]) end
return 1
