-- needs: settings, record
-- Ends a try that has not verified its number: Plivo refused the code, or did not check it.
-- input:  KEYS    the number's record, the mark that the try was given back
--         ARGV    the code's handle; how often one code may be entered;
--                 the uuid of the code if Plivo surely did not check it: then the try does not count ('': Plivo did);
--                 the handle of an earlier try to which Plivo's answer was lost ('': none)
-- output: the tries that are left
local key, given_back_key = unpack(KEYS, 7)
local handle, most_tries, unchecked_uuid, earlier_handle = unpack(ARGV, 3)
local record = read(key)
local tries = tonumber(record.tries) or 0
-- Another try of the same code may have begun meanwhile. So the mark says which try was given back, and not `confirm`.
local is_unchecked = unchecked_uuid ~= '' and record.tries and unchecked_uuid == record.verification_uuid
if is_unchecked and redis.call('SET', given_back_key, 1, 'NX', 'PX', config.token_ms) then
  tries = tries - 1
  redis.call('HSET', key, 'tries', tries)
end
if record.confirm == handle and record.tries then
  set_or_delete(key, 'confirm', is_unchecked and earlier_handle)
end
return tonumber(most_tries) - tries
