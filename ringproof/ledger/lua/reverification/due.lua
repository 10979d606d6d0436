-- needs: clock, settings, record, reverification, pauses
-- renew: verified numbers that are due to be asked about again; each is due again later, for whoever dies.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - Celery's queue of the lane scheduled
--         ARGV[3] - numbers at most            ARGV[4] - how many go into a message
--         ARGV[5] - messages that the queue may hold; beyond it nothing is enqueued
-- output: the numbers whose message is to be sent; none while the lane is paused
local room = tonumber(ARGV[4]) * (tonumber(ARGV[5]) - redis.call('LLEN', KEYS[7]))
if room <= 0 or paused('scheduled') then return {} end
local numbers = {}
for _, number in ipairs(redis.call('ZRANGEBYSCORE', renewals_key, '-inf', now, 'LIMIT', 0, math.min(room, tonumber(ARGV[3])))) do
  local key = ARGV[2] .. ':number:' .. number
  local record = read(key)
  if not renewable(record) then
    ask_again(number, nil)
  elseif period_of(record) == 0 and not record.by_hand then
    put_off(key, record, number)
  else
    ask_again(number, now + facts.enqueue_again_longest_ms)
    numbers[#numbers + 1] = number
  end
end
return numbers
