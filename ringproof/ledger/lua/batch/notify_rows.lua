-- needs: clock, states, changes, record, batch_state, transition, schema
-- Notifies the records of rows that their batch was resumed or cancelled.
-- input:  KEYS    the records
--         ARGV    the batch's name, and for each record its number and its row, as 'sms:17'
-- output: how many records have changed
local name = ARGV[3]

-- Returns whether the record has changed.
local function notify(key, number, row)
  local record = read(key)
  if not UNBEGUN[record.state] or is_newer(record) then return false end
  if record.batch ~= name or record.row:match('^%l+:%d+') ~= row then return false end
  local applies = batch_state_for(record)
  if applies == 'cancelled' then
    drop(key, 'due_at', 'detail')
    set_state(key, record, number, 'cancelled', '')
    return true
  elseif applies == 'running' and record.reason == 'batch_paused' then
    local unused = milliseconds(record, 'due_at') - now  -- the deadline was moved for a longer pause than there was
    put(key, 'due_at', now, 'ends_at', milliseconds(record, 'ends_at') - math.max(unused, 0))
    set_agenda(number, now)
    return true
  end
  return false
end

local changed = 0
for i = 1, #KEYS do
  if notify(KEYS[i], ARGV[2 * i + 2], ARGV[2 * i + 3]) then changed = changed + 1 end
end
return changed
