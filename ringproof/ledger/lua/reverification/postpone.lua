-- needs: changes, record, reverification, schema
-- Moves a number that cannot be asked about, for a reason of its own, to its next regular date.
-- input:  KEYS    the number's record
--         ARGV    number (E.164)
-- output: none
local key, number = KEYS[1], ARGV[3]
local record = read(key)
if not can_reverify(record) or is_newer(record) then return end
drop(key, 'requested_by_person', 'claimed_until')
postpone(key, record, number)
