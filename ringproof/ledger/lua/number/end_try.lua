-- needs: settings, changes, record, destinations, wrong_codes, schema
-- Ends a try that has not verified its number: Plivo refused the code, or did not check it.
-- input:  KEYS    the number's record, the mark that the try has ended
--         ARGV    number (E.164), the code's handle, how often one code may be entered;
--                 the uuid of the code if Plivo surely did not check it: then the try does not count ('': Plivo did);
--                 the handle of an earlier try to which Plivo's answer was lost ('': none)
-- output: the tries that are left; until when (ms) the number is locked (0: it is not)
local key, ended_key = unpack(KEYS)
local number, handle, most_tries, unchecked_uuid, earlier_handle = unpack(ARGV, 3)
local record = read(key)
if is_newer(record) then return {tries_left(record, tonumber(most_tries)), 0} end
local is_unchecked = unchecked_uuid ~= ''
-- Another try of the same code may have begun meanwhile. So the mark says which try has ended, and not `confirm`.
if record.state and redis.call('SET', ended_key, 1, 'NX', 'PX', config.token_ms) then
  if not is_unchecked then
    note_wrong_code(key, destination_of(record, number))
  else
    uncount_entry(key, record)
    if record.tries and unchecked_uuid == record.verification_uuid then put(key, 'tries', record.tries - 1) end
  end
end
if record.confirm == handle and record.tries then
  set_or_delete(key, 'confirm', is_unchecked and earlier_handle)
end
record = read(key)
return {tries_left(record, tonumber(most_tries)), is_locked(record) and milliseconds(record, 'locked_until') or 0}
