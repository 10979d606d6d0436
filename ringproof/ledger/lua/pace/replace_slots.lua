-- needs: clock, record, pace, pauses, late_sends
-- Reserves other slots for sends that have missed theirs.
-- input:  KEYS    their records: a send whose number is on hold or erased gets none
--         ARGV    ms within which a slot must come;
--                 how far the caller is, and how long it needs until it can send (µs, see lib/pace);
--                 and for each record its channel, and the slot that was missed (µs)
-- output: now in µs, and for each record its slot in µs (0: none was reserved)
local within_ms, reach, lead = unpack(ARGV, 3)

local function replace(key, channel, missed)
  local record = read(key)
  if not record.state or is_on_hold(record) then return 0 end  -- no state: the number was erased
  local late = take_late(channel, missed)
  if late then return late end
  local slot, account = next_slot(channel)
  if slot > now_us + within_ms * 1000 then return 0 end
  take_slot(channel, slot, account, 'again')
  return slot
end

note_reach(tonumber(reach), tonumber(lead))
local answer = {now_us}
for i, key in ipairs(KEYS) do answer[i + 1] = replace(key, ARGV[2 * i + 4], tonumber(ARGV[2 * i + 5])) end
save_pace()
return answer
