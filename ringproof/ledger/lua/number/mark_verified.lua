-- needs: clock, settings, record, reverification, transition
-- Writes down that Plivo has numbers as verified: after a code was entered, or from Plivo's list.
-- input:  KEYS    the numbers' records
--         ARGV    JSON, for each record: {number, uuid, dated, country, channel, subaccount, alias}; `dated` is the
--                 later one of Plivo's dates in ms (0: none), `alias` the fields of the alias (none: Plivo has none);
--                 the handle of the code that Plivo accepted ('': from the list, or a look-up);
--                 what Plivo was asked for: 'code' (verifications by code), 'list' (all verified numbers: unknown ones
--                 get a record) or 'number' (whether it has a number that is known here)
-- output: for each: verified (now, or before by the same handle), already (before, not by this handle), stale (Plivo's
--         entry does not belong to the last code), recorded (it was unknown) or gone (there is no record)
-- Plivo's entry for the last code overrides the record's state: an expiry, a doubt, or a newer request.
local caller_ids, handle, asked_for = unpack(ARGV, 3)
local not_about_codes, whole_list = asked_for ~= 'code', asked_for == 'list'

-- Whether Plivo's entry belongs to the last code. A number stays in Plivo's list for ever, so only the last code's uuid
-- or a date after the send proves that.
local function is_of_last_code(record, caller_id)
  if handle ~= '' or caller_id.uuid == record.verification_uuid then return true end
  local sent_at = milliseconds(record, 'code_sent_at')
  if record.state == 'sending' or record.state == 'in_doubt' then
    sent_at = milliseconds(record, 'live_until') - config.code_ms - config.lease_ms
  elseif record.state ~= 'code_sent' and record.state ~= 'expired' then
    return false
  end
  return sent_at > 0 and caller_id.dated > sent_at
end

local function write_country_and_alias(key, record, caller_id)
  if caller_id.country ~= '' then redis.call('HSET', key, 'country', caller_id.country) end
  if next(caller_id.alias) then
    delete_alias(key, record)
    for field, text in pairs(caller_id.alias) do redis.call('HSET', key, field, text) end
  end
end

-- Records a number that is unknown here, or whose last request has ended without a verification.
local function record_from_plivo(key, record, caller_id)
  redis.call('HSET', key, 'verified_at', caller_id.dated > 0 and caller_id.dated or now, 'verification_uuid',
    caller_id.uuid, 'checked_at', now)
  redis.call('HSETNX', key, 'request', math.floor(now / 1000))
  redis.call('HSETNX', key, 'lane', 'scheduled')
  redis.call('HSETNX', key, 'channel', caller_id.channel)
  redis.call('HDEL', key, 'live_before', 'lease_until', 'due_at', 'detail', 'tries', 'confirm', 'code_sent_at',
    'expires_at')
  set_or_delete(key, 'subaccount', caller_id.subaccount)
  write_country_and_alias(key, record, caller_id)
  redis.call('PERSIST', key)
  set_state(key, record, caller_id.number, 'verified', '')
end

-- Notes that Plivo still has a verified number.
local function refresh(key, record, caller_id)
  redis.call('HSET', key, 'checked_at', now)
  redis.call('HDEL', key, 'requested_by_person', 'claimed_until')
  set_or_delete(key, 'subaccount', caller_id.subaccount)
  write_country_and_alias(key, record, caller_id)
  schedule_reverification(caller_id.number, next_due(record, caller_id.number, now))
end

local function mark(key, caller_id)
  local record = read(key)
  -- A code that expired ends an earlier verification, and Plivo's old entry does not bring that back.
  local has_ended = record.state == 'failed' or record.state == 'cancelled'
    or record.state == 'expired' and not record.verified_at
  if whole_list and not record.state
      or not_about_codes and has_ended and milliseconds(record, 'live_until') <= now then
    record_from_plivo(key, record, caller_id)
    return record.state and 'verified' or 'recorded'
  end
  if not record.state then return 'gone' end
  local has_uuid_of_last_code = caller_id.uuid == record.verification_uuid
  if record.state == 'verified' or has_uuid_of_last_code and is_code_used(record) then
    if not_about_codes and record.state == 'verified' then
      refresh(key, record, caller_id)
    elseif not_about_codes then
      redis.call('HSET', key, 'checked_at', now)
    end
    return record.confirm == handle and 'verified' or 'already'
  end
  if not is_of_last_code(record, caller_id) then return 'stale' end
  -- A newer code that is being sent, or may have been sent, stays live.
  local no_newer_code = has_uuid_of_last_code and record.live_until == record.expires_at
    or record.state == 'in_doubt' and not has_uuid_of_last_code
  if no_newer_code then redis.call('HDEL', key, 'live_until') end
  redis.call('HSET', key, 'verified_at', now, 'verification_uuid', caller_id.uuid)
  redis.call('HDEL', key, 'live_before', 'lease_until', 'due_at', 'detail', 'tries')
  set_or_delete(key, 'confirm', handle)
  write_country_and_alias(key, record, caller_id)
  redis.call('PERSIST', key)
  set_state(key, record, caller_id.number, 'verified', '')
  return 'verified'
end

local record_keys, answers = {unpack(KEYS, 7)}, {}
for i, caller_id in ipairs(cjson.decode(caller_ids)) do answers[i] = mark(record_keys[i], caller_id) end
return answers
