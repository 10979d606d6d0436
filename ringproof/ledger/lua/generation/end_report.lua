-- needs: clock, pace, generation, gate
-- Notes that a process has reported everything that it remembers.
-- input:  ARGV    what it has seen: 'ID COUNTER' ('': nothing); its id as a member; the closing for which it has
--                 reported; '1' if it remembers everything of itself that Redis may have forgotten; and for the last
--                 slot of the account, and that of calls, that it knows: µs ago ('': none)
-- output: 1; 0 if the gate was closed again, or is open: then the process compares again
local seen, member, closing, is_complete, account_ago, call_ago = unpack(ARGV, 3)
if not is_gate_closed(seen) or closing ~= string.format('%.0f', generation.closing) then return 0 end
note_used_slot(account_ago ~= '' and now_us - tonumber(account_ago), call_ago ~= '' and now_us - tonumber(call_ago))
save_pace()
raise_counter(seen)
set_generation({['reported:' .. member] = now, ['member:' .. member] = now})
if is_complete == '1' then redis.call('HDEL', generation_key, 'awaits:' .. member) end
return 1
