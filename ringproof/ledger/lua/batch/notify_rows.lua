-- needs: clock, record, batch_state, transition
-- heed: numbers of a batch are told that it goes on, or that it is cancelled.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7…] - their records
--         ARGV[3] - the batch's name   ARGV[4…] - of each its number and its row, as 'sms:17'
-- output: how many it was news to
local told = 0
for i = 7, #KEYS do
  local number, row = ARGV[2 * i - 10], ARGV[2 * i - 9]
  local key = KEYS[i]
  local record = read(key)
  local open = record.state == 'queued' or record.state == 'waiting'
  local ours = record.batch == ARGV[3] and record.row:match('^%l+:%d+') == row
  local word = open and ours and batch_word(record)
  if word == 'cancelled' then
    redis.call('HDEL', key, 'due_at', 'detail')
    change(key, record, number, 'cancelled', '')
    told = told + 1
  elseif word == 'running' and record.reason == 'batch_paused' then
    local early = milliseconds(record, 'due_at') - now  -- what was given for a pause that it did not last
    redis.call('HSET', key, 'due_at', now, 'ends_at', milliseconds(record, 'ends_at') - math.max(early, 0))
    redis.call('ZADD', KEYS[1], now, number)
    told = told + 1
  end
end
return told
