-- needs: arguments, clock, settings, record, reverification, pauses, schema
-- Returns numbers that are due for re-verification. Each is due again later, in case the worker that asks about it
-- dies.
-- input:  KEYS    Celery's queue of the lane scheduled
--         ARGV    numbers at most, how many numbers go into one message, messages that the queue may hold: beyond it
--                 nothing is enqueued
-- output: the numbers to send in messages; none while the lane is paused
local queue = KEYS[1]
local most, in_a_message, longest_queue = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local room = in_a_message * (longest_queue - redis.call('LLEN', queue))
if room <= 0 or paused_until('scheduled') then return {} end
local numbers = {}
for _, number in ipairs(redis.call('ZRANGEBYSCORE', renewals_key, '-inf', now, 'LIMIT', 0, math.min(room, most))) do
  local key = key_of_record(number)
  local record = read(key)
  if is_newer(record) then
    schedule_reverification(number, now + config.enqueue_again_longest_ms)
  elseif not can_reverify(record) then
    schedule_reverification(number, nil)
  elseif period_of(record) == 0 and not record.requested_by_person then
    postpone(key, record, number)
  else
    schedule_reverification(number, now + config.enqueue_again_longest_ms)
    numbers[#numbers + 1] = number
  end
end
return numbers
