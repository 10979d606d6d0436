-- needs: record
-- Writes down that Plivo has not verified a number by the code that was entered.
-- input:  KEYS    the number's record
--         ARGV    the code's handle, how often one code may be entered, '1' if Plivo was surely not asked: then the
--                 entry does not count
-- output: the entries that are left
local key = KEYS[7]
local handle, most_tries, was_not_asked = unpack(ARGV, 3)
local record = read(key)
local tries = tonumber(record.tries) or 0
if record.confirm == handle and not is_code_used(record) then
  redis.call('HDEL', key, 'confirm')
  if was_not_asked == '1' then
    tries = tries - 1
    redis.call('HSET', key, 'tries', tries)
  end
end
return tonumber(most_tries) - tries
