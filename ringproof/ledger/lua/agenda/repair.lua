-- needs: arguments, clock, states, settings, damage, record, reverification, schema
-- Repairs the agenda and the schedule of re-verifications.
-- Puts an unfinished record without an agenda entry back on the agenda, due at once. No script loses an entry, but an
-- operator with redis-cli may. Brings an entry nearer that is too late because Redis' clock was set back. Puts a number
-- that has a period and no date on the schedule, and gives a verified number an earlier date if its period is shorter
-- now.
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

-- Returns the latest moment at which the agenda can need an unfinished record.
local NEXT_MOMENT = {waiting = 'due_at', sending = 'lease_until', code_sent = 'expires_at', in_doubt = 'live_until'}
local function latest_entry(record)
  return math.max(milliseconds(record, NEXT_MOMENT[record.state]), now + config.enqueue_again_longest_ms)
end

local function repair(key, number)
  local record = read(key)
  if is_newer(record) then return 0 end
  if record.state and not FINAL[record.state] then
    local entry = redis.call('ZSCORE', agenda_key, number)
    local due_at = not entry and now or math.min(tonumber(entry), latest_entry(record))
    if not entry or due_at < tonumber(entry) then
      redis.call('ZADD', agenda_key, due_at, number)
      return 1
    end
  elseif record.state then
    local due_at = missing_date(record, number)
    if due_at then
      redis.call('PERSIST', key)
      schedule_reverification(number, due_at)
      return 1
    end
  end
  return 0
end

local repaired = 0
for i, key in ipairs(KEYS) do
  local number = ARGV[i + 2]
  repaired = repaired + (unless_damaged(key, function() return repair(key, number) end) or 0)
end
return repaired
