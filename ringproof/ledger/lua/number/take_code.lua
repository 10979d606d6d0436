-- needs: clock, changes, record, pauses, wrong_codes, schema
-- Takes a code that a user entered, once, and returns whether to ask Plivo about it. The try counts before Plivo is
-- asked.
-- input:  KEYS    the number's record, the code under its handle
--         ARGV    handle, how often one code may be entered, the request for which the code was sent ('': any)
-- output: verdict; the code ('' unless the verdict is ask); the tries that are left; the handle of an earlier try
--         to which Plivo's answer was lost ('': none); the record's fields. The verdict is
--         ask (ask Plivo about this code), look (Plivo was asked before, for this handle: find out the result),
--         done (this handle has verified the number), locked (too many wrong codes), nothing (no code to confirm),
--         lost (the code was not taken in time), expired, too_many, another (the last code was sent for another
--         request), newer (only a newer version can read the record: nothing has changed, and a newer worker may take
--         the code), paused (Plivo knows the credentials of no worker), or elsewhere (it does not know those of the
--         caller: nothing has changed, and another worker may take the code)
-- A record's `tries` counts the entries of its last sent code. `confirm` is the handle for which Plivo was asked and
-- has not answered; in a record without `tries` it is the handle that has verified the number.
local key, code_key = unpack(KEYS)
local handle, most_tries, request = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local record, fields = read(key)
if is_newer(record) then
  return {redis.call('EXISTS', code_key) == 1 and 'newer' or 'lost', '', 0, '', fields}
end
local code = not leaves_work() and redis.call('GETDEL', code_key)
local tries = tonumber(record.tries) or 0

local function judge()
  local is_used = is_code_used(record)
  if record.confirm == handle then return record.tries and 'look' or 'done' end
  if is_locked(record) then return 'locked' end
  local is_anothers = request ~= '' and request ~= (record.code_request or record.request)
  if is_anothers and record.request then return 'another' end
  if is_used or not record.verification_uuid then return 'nothing' end
  if leaves_work() then return 'elsewhere' end
  if not code then return 'lost' end
  if milliseconds(record, 'expires_at') <= now then return 'expired' end
  if tries >= most_tries then return 'too_many' end
  if pauses.credentials and not record.test then return 'paused' end
  return 'ask'
end

local verdict, earlier_handle = judge(), ''
if verdict == 'ask' then
  earlier_handle = record.confirm or ''
  put(key, 'tries', tries + 1, 'confirm', handle)
  count_entry(key, record)
end
local after, flat = read(key)
return {verdict, verdict == 'ask' and code or '', tries_left(after, most_tries), earlier_handle, flat}
