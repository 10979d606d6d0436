-- needs: clock, pauses
-- hold: a person pauses all lanes, or one, or resumes.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   ARGV[3] - 'all' or a lane   ARGV[4] - '1' to pause   ARGV[5] - why
-- output: 1 if that changed something
-- To resume all is also to try at once what Plivo had refused.
local field = 'person:' .. ARGV[3]
local before = pauses[field] ~= nil
if ARGV[4] == '1' then
  pause({[field] = before and pauses[field] or now, [field .. ':reason'] = ARGV[5]})
  return before and 0 or 1
end
lift(field, field .. ':reason')
if ARGV[3] ~= 'all' then return before and 1 or 0 end
for _, lane in ipairs({'interactive', 'scheduled', 'bulk'}) do
  before = before or pauses['person:' .. lane] ~= nil
  lift('person:' .. lane, 'person:' .. lane .. ':reason')
end
for _, one in ipairs({'credentials_probe', 'account_until', 'doubts_until', 'suspect_until'}) do
  if pauses[one] then pause({[one] = now}) end
end
return before and 1 or 0
