-- needs: record
-- Ends a try that has not verified its number: Plivo refused the code, or did not check it.
-- input:  KEYS    the number's record
--         ARGV    the code's handle, how often one code may be entered, '1' if Plivo surely did not check the code:
--                 then the try does not count; and the handle of an earlier try whose answer was lost ('': none)
-- output: the tries that are left
local key = KEYS[7]
local handle, most_tries, was_not_checked, earlier_handle = unpack(ARGV, 3)
local record = read(key)
local tries = tonumber(record.tries) or 0
if record.confirm == handle and record.tries then
  redis.call('HDEL', key, 'confirm')
  if was_not_checked == '1' then
    set_or_delete(key, 'confirm', earlier_handle)
    tries = tries - 1
    redis.call('HSET', key, 'tries', tries)
  end
end
return tonumber(most_tries) - tries
