-- needs: clock, record, pace, pauses
-- book: reserves a slot for a request that is no new code: a look-up, a probe, or a send whose own slot has gone by.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   ARGV[3] - channel: 'call' takes a slot of both buckets
--         KEYS[7] - the record of such a send (none: another request): it gets none if nobody is to be sent to
--         ARGV[4] - ms within which it is wanted ('': whenever it comes)
--         ARGV[5] - lane, for a request that has no haste and keeps to its share ('': the next slot is taken)
-- output: now, and the slot, in µs; 0: there is none within that time, and none was reserved. In a lane also when to
--         ask again: its turn has not come
if ARGV[5] ~= '' then
  local slot_us, turn_us = book(ARGV[5], ARGV[3], tonumber(ARGV[4]) * 1000)
  keep_pace()
  return {now_us, slot_us or 0, turn_us or 0}
end
if KEYS[7] then
  local record = read(KEYS[7])
  if not record.state or is_held(record) then return {now_us, 0, 0} end  -- no state: it was erased
end
local slot_us = math.max(now_us, pace.account)
if ARGV[3] == 'call' then slot_us = math.max(slot_us, pace.call) end
if ARGV[4] ~= '' and slot_us > now_us + tonumber(ARGV[4]) * 1000 then return {now_us, 0, 0} end
if ARGV[3] == 'call' then move('call', slot_us + spacing_us('call')) end
move('account', slot_us + spacing_us('account'))
keep_pace()
return {now_us, slot_us, 0}
