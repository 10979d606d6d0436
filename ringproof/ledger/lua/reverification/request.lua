-- needs: clock, states, changes, record, reverification, schema
-- Makes numbers due for re-verification now, for an operator.
-- input:  KEYS    records
--         ARGV    their numbers
-- output: for each: due, open (it has a request under way), never (it was not verified) or unknown
local function request(key, number)
  local record = read(key)
  local state = record.state
  if not state then return 'unknown' end
  if is_newer(record) then return 'open' end
  if UNFINISHED[state] or state == 'code_sent' then return 'open' end
  if not can_reverify(record) then return 'never' end
  put(key, 'requested_by_person', 1)
  drop(key, 'unanswered')
  redis.call('ZREM', lapsed_key, number)
  schedule_reverification(number, now)
  return 'due'
end

local answers = {}
for i = 1, #KEYS do answers[#answers + 1] = request(KEYS[i], ARGV[i + 2]) end
return answers
