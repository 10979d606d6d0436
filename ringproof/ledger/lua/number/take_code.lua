-- needs: clock, record, pauses
-- confirm: takes a code that a person entered, once, and says whether Plivo is to be asked about it. The try is counted
-- before anybody has asked.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the number's record   KEYS[8] - the code, under its handle
--         ARGV[3] - handle   ARGV[4] - how often one code may be entered
-- output: verdict, the code (where Plivo is to be asked: ''), tries left, the handle of whoever asked and never told
--         what came of it (''), the record's fields; the verdict is
--         ask (Plivo, about this code), look (whether Plivo took it: it was asked before, for this handle), done (it
--         has verified the number), nothing (no code to enter), lost (the code was not taken in time), expired,
--         too_many or paused (Plivo does not know the credentials)
-- A record's `tries` and `confirm` are of its last sent code: how often it was entered, and the handle for which Plivo
-- was asked and has not answered, or of a verified number the one that has verified it.
local key, handle, most = KEYS[7], ARGV[3], tonumber(ARGV[4])
local code = redis.call('GETDEL', KEYS[8])
local record = read(key)
local tries = tonumber(record.tries) or 0

local function judge()
  local verified = used(record)
  if record.confirm == handle then return verified and 'done' or 'look' end
  if verified or not record.verification_uuid then return 'nothing' end
  if not code then return 'lost' end
  if milliseconds(record, 'expires_at') <= now then return 'expired' end
  if tries >= most then return 'too_many' end
  if pauses.credentials then return 'paused' end
  return 'ask'
end

local verdict, asked = judge(), ''
if verdict == 'ask' then
  tries = tries + 1
  asked = record.confirm or ''
  redis.call('HSET', key, 'tries', tries, 'confirm', handle)
end
return {verdict, verdict == 'ask' and code or '', most - tries, asked, redis.call('HGETALL', key)}
