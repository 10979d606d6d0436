-- needs: record
-- heeded: how far the numbers of a batch have been told.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the batch   KEYS[8] - batches that are fed
--         ARGV[3] - name   ARGV[4] - from which row on they had yet to be told   ARGV[5] - the same now ('': all are)
-- output: none; nothing is changed if a person has said something else meanwhile
if redis.call('HGET', KEYS[7], 'heed') ~= ARGV[4] then return end
set_or_delete(KEYS[7], 'heed', ARGV[5])
if ARGV[5] == '' and redis.call('HGET', KEYS[7], 'state') == 'cancelled' then redis.call('ZREM', KEYS[8], ARGV[3]) end
