-- batch_leave: an importer goes: another may go on at once; or nothing of its batch is to stay.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the batch   KEYS[8] - who imports it   KEYS[9] - all batches
--         KEYS[10…] - all other keys of the batch
--         ARGV[3] - name   ARGV[4] - token   ARGV[5] - '1': nothing is to stay
-- output: none
local holder = redis.call('GET', KEYS[8])
if holder and holder ~= ARGV[4] then return end
redis.call('DEL', KEYS[8])
if ARGV[5] == '1' and redis.call('HGET', KEYS[7], 'state') == 'importing' then
  redis.call('UNLINK', unpack(KEYS, 10))
  redis.call('UNLINK', KEYS[7])
  redis.call('ZREM', KEYS[9], ARGV[3])
end
