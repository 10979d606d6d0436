-- needs: clock, record, pace, turns, pauses, late_sends
-- Reserves a slot for a request that is not a new code: a look-up, a probe, or a send that has missed its slot.
-- input:  KEYS    the record of a send that has missed its slot: it gets none if it is on hold or erased (without a
--                 key: another request)
--         ARGV    channel: 'call' takes a slot of both buckets;
--                 ms within which the slot must come ('': any);
--                 lane, for a request that can wait and keeps to its lane's share ('': take the next slot);
--                 how far the caller is, and how long it needs until it can send (µs, see lib/pace);
--                 the slot (µs) that a send has missed ('': another request)
-- output: now in µs; the slot in µs (0: none was reserved); for a lane without a slot, its turn in µs (else 0)
local key = KEYS[1]
local channel, within_ms, lane, reach, lead, missed = unpack(ARGV, 3)
note_reach(tonumber(reach), tonumber(lead))
if lane ~= '' then
  local slot_us, turn_us = reserve(lane, channel, tonumber(within_ms) * 1000)
  save_pace()
  return {now_us, slot_us or 0, turn_us or 0}
end
if key then
  local record = read(key)
  if not record.state or is_on_hold(record) then return {now_us, 0, 0} end  -- no state: the number was erased
  local slot_us = take_late(channel, tonumber(missed))
  if slot_us then
    save_pace()
    return {now_us, slot_us, 0}
  end
end
local slot_us, account_us = next_slot(channel)
if within_ms ~= '' and slot_us > now_us + tonumber(within_ms) * 1000 then
  save_pace()  -- it has begun again if the clock has jumped
  return {now_us, 0, 0}
end
take_slot(channel, slot_us, account_us, key and 'again' or 'question')
save_pace()
return {now_us, slot_us, 0}
