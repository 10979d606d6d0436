-- needs: clock, pace, turns
-- Reserves a slot for a request that is not a new code: a look-up, a probe or a confirmation.
-- input:  ARGV    ms within which the slot must come ('': any);
--                 lane, for a request that can wait and keeps to its lane's share ('': take the next slot);
--                 how far the caller is (µs, see lib/pace)
-- output: now in µs; the slot in µs (0: none was reserved); for a lane without a slot, its turn in µs (else 0)
local within_ms, lane, reach = unpack(ARGV, 3)
note_reach(tonumber(reach), 0)
if lane ~= '' then
  local slot_us, turn_us = reserve(lane, 'sms', tonumber(within_ms) * 1000)
  save_pace()
  return {now_us, slot_us or 0, turn_us or 0}
end
local slot_us, account_us = next_slot('sms')
if within_ms ~= '' and slot_us > now_us + tonumber(within_ms) * 1000 then
  save_pace()  -- it has begun again if the clock has jumped
  return {now_us, 0, 0}
end
take_slot('sms', slot_us, account_us, 'question')
save_pace()
return {now_us, slot_us, 0}
