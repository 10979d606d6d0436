-- needs: changes, record, reverification, transition, schema
-- Ends the verification of a number that Plivo no longer has. The number is still due: a code verifies it again.
-- input:  KEYS    the number's record
--         ARGV    number (E.164), and the record's request and `verified_at` (ms) before Plivo was asked
-- output: 1; or 0 if nothing has changed, because there is a newer request or a newer verification by now
local key = KEYS[1]
local number, request, verified_at = unpack(ARGV, 3)
local record = read(key)
if record.request ~= request or record.verified_at ~= verified_at or not can_reverify(record)
    or is_newer(record) then
  return 0
end
-- The uuid stays known: if the number is in Plivo's list again, an old entry is no proof of a newer code.
set_or_delete(key, 'verified_uuid', uuid_of_verification(record))
drop(key, 'verified_at')
put(key, 'reverifies', 1)
record.verified_at = nil
set_state(key, record, number, 'expired', 'removed')
return 1
