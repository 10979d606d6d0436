-- needs: clock, record, reverification
-- renew_now: a person wants numbers to be asked about again now.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7…] - records   ARGV[3…] - their numbers
-- output: for each: due; open (a request of it is under way), never (it was not verified) or unknown
local answers = {}
for i = 7, #KEYS do
  local key, number = KEYS[i], ARGV[i - 4]
  local record = read(key)
  local state = record.state
  local open = state == 'queued' or state == 'waiting' or state == 'sending' or state == 'in_doubt'
  if not state then
    answers[#answers + 1] = 'unknown'
  elseif open or state == 'code_sent' then
    answers[#answers + 1] = 'open'
  elseif renewable(record) then
    redis.call('HSET', key, 'by_hand', 1)
    redis.call('HDEL', key, 'unanswered')
    redis.call('SREM', lapsed_key, number)
    ask_again(number, now)
    answers[#answers + 1] = 'due'
  else
    answers[#answers + 1] = 'never'
  end
end
return answers
