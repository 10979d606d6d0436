-- needs: clock, settings, record, reverification, transition
-- verify: Plivo says that numbers are verified: to whoever entered a code, or in its list.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7…] - the numbers' records
--         ARGV[3] - JSON, for each record: {number, uuid, dated, country, channel, subaccount, alias}; `dated` is the
--                   later of Plivo's dates in ms (0: none), `alias` the fields of that name (none: Plivo has none)
--         ARGV[4] - the handle of the code that Plivo took ('': it was read in the list)
--         ARGV[5] - what Plivo was asked: 'code' (about codes), 'list' (all that it has: what is unknown here is recorded)
--                   or 'number' (whether it has one that is known here)
-- output: for each: verified (now, or before for the same handle), already (it was, by another), stale (what Plivo has
--         is of another time), recorded (it was unknown here) or gone (no record)
-- Plivo's yes wins over what was thought before: an expiry, a doubt, a newer request, sent or not.
local handle, whatever, all = ARGV[4], ARGV[5] ~= 'code', ARGV[5] == 'list'

-- In the list a number stays for ever: only the last code's uuid, or dates after the send, are about that code.
local function is_this(record, known)
  if handle ~= '' or known.uuid == record.verification_uuid then return true end
  local sent_at = milliseconds(record, 'code_sent_at')
  if record.state == 'sending' or record.state == 'in_doubt' then
    sent_at = milliseconds(record, 'live_until') - facts.code_ms - facts.lease_ms
  elseif record.state ~= 'code_sent' and record.state ~= 'expired' then
    return false
  end
  return sent_at > 0 and known.dated > sent_at
end

local function name_it(key, record, known)
  if known.country ~= '' then redis.call('HSET', key, 'country', known.country) end
  if next(known.alias) then
    drop_alias(key, record)
    for field, text in pairs(known.alias) do redis.call('HSET', key, field, text) end
  end
end

-- What Plivo has of a number of which nothing else is known here, or only that a request has come to nothing.
local function record_it(key, record, known)
  redis.call('HSET', key, 'verified_at', known.dated > 0 and known.dated or now, 'verification_uuid', known.uuid,
    'checked_at', now)
  redis.call('HSETNX', key, 'request', math.floor(now / 1000))
  redis.call('HSETNX', key, 'lane', 'scheduled')
  redis.call('HSETNX', key, 'channel', known.channel)
  redis.call('HDEL', key, 'live_before', 'lease_until', 'due_at', 'detail', 'tries', 'confirm', 'code_sent_at', 'expires_at')
  set_or_delete(key, 'subaccount', known.subaccount)
  name_it(key, record, known)
  redis.call('PERSIST', key)
  change(key, record, known.number, 'verified', '')
end

-- Plivo has it still.
local function refresh(key, record, known)
  redis.call('HSET', key, 'checked_at', now)
  redis.call('HDEL', key, 'by_hand', 'claimed_until')
  set_or_delete(key, 'subaccount', known.subaccount)
  name_it(key, record, known)
  ask_again(known.number, falls_due(record, known.number, now))
end

local function verify(key, known)
  local record = read(key)
  -- A code that was not answered ends a verification; that Plivo has had one all along, it does not.
  local ended = record.state == 'failed' or record.state == 'cancelled'
    or record.state == 'expired' and not record.verified_at
  if all and not record.state or whatever and ended and milliseconds(record, 'live_until') <= now then
    record_it(key, record, known)
    return record.state and 'verified' or 'recorded'
  end
  if not record.state then return 'gone' end
  local last_code = known.uuid == record.verification_uuid
  if record.state == 'verified' or last_code and used(record) then
    if whatever and record.state == 'verified' then
      refresh(key, record, known)
    elseif whatever then
      redis.call('HSET', key, 'checked_at', now)
    end
    return record.confirm == handle and 'verified' or 'already'
  end
  if not is_this(record, known) then return 'stale' end
  -- Where a newer code is on its way, or may be, that one lives on.
  local no_newer = last_code and record.live_until == record.expires_at or record.state == 'in_doubt' and not last_code
  if no_newer then redis.call('HDEL', key, 'live_until') end
  redis.call('HSET', key, 'verified_at', now, 'verification_uuid', known.uuid)
  redis.call('HDEL', key, 'live_before', 'lease_until', 'due_at', 'detail', 'tries')
  set_or_delete(key, 'confirm', handle)
  name_it(key, record, known)
  redis.call('PERSIST', key)
  change(key, record, known.number, 'verified', '')
  return 'verified'
end

local answers = {}
for i, known in ipairs(cjson.decode(ARGV[3])) do answers[i] = verify(KEYS[6 + i], known) end
return answers
