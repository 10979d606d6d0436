-- needs: clock, pauses, credentials
-- Judges all credentials again, because workers have come and gone, and claims the probe of the caller's own: it is due
-- every 30 s, for one caller.
-- input:  ARGV    '1' if the caller takes messages of a lane, or has left them to others;
--                 '1' if it can ask Plivo now, should a probe be due
-- output: since when (ms) Plivo does not know the caller's credentials (0: it may know them); 1 if the caller leaves
--         its work to others; 1 if it is to ask Plivo now
local caller_sends, can_ask = ARGV[3] == '1', ARGV[4] == '1'
judge_all_credentials(caller_sends)
local field = 'unknown:' .. callers_digest
if not pauses[field] then return {0, 0, 0} end
local is_due = can_ask and pause_time(field .. '_probe') <= now
if is_due then
  set_pauses({[field .. '_probe'] = now + PROBE_MS})
  judge_all_credentials(caller_sends)
end
return {pause_time(field), leaves_work() and 1 or 0, is_due and 1 or 0}
