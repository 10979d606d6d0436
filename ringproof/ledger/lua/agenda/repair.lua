-- needs: arguments, clock, states, record, reverification
-- Repairs the agenda and the schedule of re-verifications.
-- Puts an unfinished record without an agenda entry back on the agenda, due at once. No script loses an entry, but an
-- operator with redis-cli may. Puts a number that has a period and no date on the schedule, and gives a verified number
-- an earlier date if its period is shorter now.
-- input:  KEYS    records
--         ARGV    their numbers
-- output: how many were put back

-- Returns the date of a number that should be on the schedule, or is there too late; nil if its entry is right.
local function missing_date(record, number)
  if not can_reverify(record) or record.reason == 'lapsed' then return nil end
  local last_proof = math.max(milliseconds(record, 'verified_at'), milliseconds(record, 'checked_at'))
  local due_at = next_due(record, number, last_proof)
  if due_at and due_at < now then due_at = next_due(record, number, now) end  -- overdue ones must not all come at once
  local entry = redis.call('ZSCORE', renewals_key, number)
  if entry and (record.state ~= 'verified' or due_at and tonumber(entry) <= due_at) then return nil end
  return due_at
end

local repaired = 0
for i = 7, #KEYS do
  local key, number = KEYS[i], ARGV[i - 4]
  local state = redis.call('HGET', key, 'state')
  if state and not FINAL[state] and not redis.call('ZSCORE', agenda_key, number) then
    redis.call('ZADD', agenda_key, now, number)
    repaired = repaired + 1
  elseif state and FINAL[state] then
    local due_at = missing_date(read(key), number)
    if due_at then
      redis.call('PERSIST', key)
      schedule_reverification(number, due_at)
      repaired = repaired + 1
    end
  end
end
return repaired
