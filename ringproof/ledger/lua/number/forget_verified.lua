-- needs: states, changes, record, reverification, transition, schema
-- Forgets that Plivo has a number as verified: a program has had Plivo remove it. The schedule forgets it, too.
-- input:  KEYS    the number's record
--         ARGV    number (E.164)
-- output: 1; or 0 if the number is not verified here
local key, number = KEYS[1], ARGV[3]
local record = read(key)
if not is_verified(record) or is_newer(record) then return 0 end
-- The uuid stays known: if the number is in Plivo's list again, an old entry is no proof of a newer code.
set_or_delete(key, 'verified_uuid', uuid_of_verification(record))
drop(key, 'verified_at', 'reverifies', 'unanswered', 'requested_by_person')
record.verified_at, record.reverifies = nil, nil
schedule_reverification(number, nil)
-- A request that is under way goes on, and so does a code that may still be entered.
if FINAL[record.state] then set_state(key, record, number, 'expired', 'removed') end
return 1
