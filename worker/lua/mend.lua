-- mend: the slow hand. Puts an unfinished record that has no entry on the agenda back, due at once.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7…] - records   ARGV[3…] - their numbers
-- output: how many were put back
local mended = 0
for i = 7, #KEYS do
  local number = ARGV[i - 4]
  local state = redis.call('HGET', KEYS[i], 'state')
  local final = not state or state == 'verified' or state == 'expired' or state == 'failed' or state == 'cancelled'
  if not final and not redis.call('ZSCORE', KEYS[1], number) then
    redis.call('ZADD', KEYS[1], now, number)
    mended = mended + 1
  end
end
return mended
