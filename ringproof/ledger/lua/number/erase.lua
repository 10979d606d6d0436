-- needs: arguments, damage, record, batch_state, batch_rows, reverification, tombstone, line, transition
-- Erases what is known about a number, also if its record is damaged. A tombstone stays while a code of the number may
-- be live, or its caps count.
-- input:  KEYS    the number's record, its earlier requests
--         ARGV    number (E.164), 64 random characters: the key of the tombstone's HMAC, if Redis has none
-- output: 1 if the number was known, or 0
local key, earlier_key = unpack(KEYS)
local number, random = unpack(ARGV, 3)
local is_known = redis.call('EXISTS', key)
unless_damaged(key, function()
  local record = read(key)
  leave_tombstone(number, record, random)
  end_wait(record, number)
  if is_row(record) then blank_row(record.batch, row_of(record)) end
end)
redis.call('DEL', key, earlier_key)
redis.call('ZREM', agenda_key, number)
redis.call('ZREM', doubts_key, number)
redis.call('ZREM', renewals_key, number)
for _, channel in ipairs({'sms', 'call'}) do
  leave_line(number, channel)
  leave_backlog(number, channel)
end
redis.call('ZREM', lapsed_key, number)
return is_known
