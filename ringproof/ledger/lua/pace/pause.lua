-- needs: clock, lanes, destinations, pause_kinds, pauses, credentials
-- Pauses all lanes, or one, for an operator; or resumes.
-- input:  ARGV    'all' or a lane, '1' to pause ('0' to resume), the reason
-- output: 1 if that has changed something
-- To resume all lanes also forgets which credentials Plivo does not know, because the operator may have mended them:
-- the next answer shows. And it makes the next probe of each other pause due at once, and a try of each destination
-- that Plivo refuses.
local lane, is_pause, reason = unpack(ARGV, 3)
local field = 'person:' .. lane
local was_paused = pauses[field] ~= nil
if is_pause == '1' then
  set_pauses({[field] = was_paused and pauses[field] or now, [field .. ':reason'] = reason})
  return was_paused and 0 or 1
end
clear_pauses(field, field .. ':reason')
if lane ~= 'all' then return was_paused and 1 or 0 end
for _, one in ipairs(LANES) do
  was_paused = was_paused or pauses['person:' .. one] ~= nil
  clear_pauses('person:' .. one, 'person:' .. one .. ':reason')
end
for _, digest in ipairs(unknown_digests()) do forget_unknown(digest) end
judge_all_credentials(false)
for _, one in ipairs(NEXT_PROBES) do
  if pauses[one] then set_pauses({[one] = now}) end
end
for name, destination in pairs(all_destinations()) do
  if destination.since then change_destination(name, {next = now, wait = FIRST_TRY_MS}) end
end
return was_paused and 1 or 0
