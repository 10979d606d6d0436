-- needs: clock, generation, gate
-- Compares what a process has seen with what Redis knows. If it is less, the gate is closed; if all have reported
-- what they remember, it is opened. Also the sign of a process that it lives.
-- input:  ARGV    what it has seen: 'ID COUNTER' ('': nothing); its id as a member ('': it remembers no sends);
--                 '1' if it remembers nothing from now on ('': it goes on)
-- output: what to remember: 'ID COUNTER'; the closing (0: the gate is open); how long ago (ms) something may have
--         happened that Redis does not know (-1: at any time); 1 if the caller has to report
local seen, member, ends = unpack(ARGV, 3)
local must_report = false
if not is_gate_closed(seen) then
  note_sign(ends == '' and member or '')
else
  must_report = member ~= '' and not generation_field('reported:' .. member)
  if must_report then
    set_generation({['awaits:' .. member] = now})  -- nobody may know of it: its first sign is forgotten
  else
    raise_counter(seen)
    open_gate()
  end
end
if ends ~= '' and not must_report then redis.call('HDEL', generation_key, 'member:' .. member) end
local own, closing, since_ms = generation_for_caller()
return {own, closing, since_ms, must_report and 1 or 0}
