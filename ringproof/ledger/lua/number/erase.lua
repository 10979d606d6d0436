-- needs: record, batch_state, batch_rows, reverification, tombstone, pauses
-- erase: forgets a number.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the number's record   KEYS[8] - its earlier requests
--         ARGV[3] - number, E.164   ARGV[4] - 64 random characters: the HMAC's key, if Redis has none
-- output: 1 if it was known, or 0
local number = ARGV[3]
local record = read(KEYS[7])
leave(number, record, ARGV[4])
if is_row(record) then
  local list, place, country = record.row:match('^(%l+):(%d+):(%w*)$')
  blank_row(record.batch, list, place, country)
end
redis.call('DEL', KEYS[7], KEYS[8])
redis.call('ZREM', KEYS[1], number)
redis.call('ZREM', renewals_key, number)
redis.call('SREM', lapsed_key, number)
if pauses.suspect == number then lift('suspect', 'suspect_request', 'suspect_slot', 'suspect_until') end
return record.state and 1 or 0
