-- needs: clock, states, settings, damage, changes, record, reverification, transition, tombstone, wrong_codes, breaker, metrics, schema
-- Writes down that Plivo has numbers as verified: after a code was entered, or from Plivo's list.
-- input:  KEYS    the numbers' records
--         ARGV    JSON, for each record: {number, uuid, created, dated, country, channel, subaccount, alias}; `created`
--                 is Plivo's first date in ms and `dated` the later one (0: none), `alias` the fields of the alias
--                 (none: Plivo has none);
--                 the handle of the code that Plivo accepted ('': from the list, or a look-up);
--                 what Plivo was asked for: 'code' (verifications by code), 'list' (all verified numbers: unknown ones
--                 get a record) or 'number' (whether it has a number that is known here)
-- output: for each: verified (now, or before by the same handle), already (before, not by this handle), stale (Plivo's
--         entry proves neither the last code nor a verification that stands), recorded (it was unknown) or gone (there
--         is no record, or a damaged one)
-- Plivo's entry for the last code overrides the record's state: an expiry, a doubt, or a newer request.
local caller_ids, handle, asked_for = unpack(ARGV, 3)
local not_about_codes, whole_list = asked_for ~= 'code', asked_for == 'list'

-- Whether Plivo's entry belongs to the last code, or to one that Plivo has accepted since. A number stays in Plivo's
-- list for years, and an entry gets a new date if somebody edits its alias. So a date proves nothing for the uuid by
-- which the number was verified before. If that uuid is unknown, only the date of a new entry is a proof.
local function is_of_last_code(record, caller_id)
  if handle ~= '' or caller_id.uuid == record.verification_uuid then return true end
  local uuid_before = uuid_of_verification(record)
  if caller_id.uuid == uuid_before then return false end
  local sent_at = milliseconds(record, 'code_sent_at')
  if record.state == 'sending' or record.state == 'in_doubt' then
    sent_at = slot_of(record)
  elseif UNBEGUN[record.state] or record.state == 'failed' or record.state == 'cancelled' then
    return false
  end
  return sent_at > 0 and (uuid_before and caller_id.dated or caller_id.created) > sent_at
end

-- Whether the schedule waits for an answer to its code, because the number may have another owner. Then only a new code
-- is a proof, and not that Plivo still has the number.
local function needs_new_proof(record)
  return config.reverify_mode == 'send' and (record.reverifies ~= nil or unanswered_codes(record) > 0)
end

local function write_country_and_alias(key, record, caller_id)
  if caller_id.country ~= '' then put(key, 'country', caller_id.country) end
  if next(caller_id.alias) then
    delete_alias(key, record)
    for field, text in pairs(caller_id.alias) do put(key, field, text) end
  end
end

-- Sets the uuid by which the number is verified: that of the last code, or that of another one. In doubt, the uuid of
-- the code that may have been sent is unknown, and it is this one if it is new.
local function write_uuid(key, record, uuid)
  local is_new = uuid ~= record.verification_uuid
  local is_of_doubt = is_new and (record.state == 'sending' or record.state == 'in_doubt')
  if is_new and not is_of_doubt and record.code_sent_at and not is_code_used(record) then
    put(key, 'verified_uuid', uuid)
    return
  end
  put(key, 'verification_uuid', uuid)
  drop(key, 'verified_uuid')
  if is_of_doubt then drop(key, 'code_request') end
end

-- Records that Plivo has a number that is unknown here, or whose last request has ended without a verification.
local function record_from_plivo(key, record, caller_id)
  -- After an erasure the cooldown goes on. Of the last code nothing but its time is known: Plivo's entry stands for it.
  local code_sent_at = record.state and 0 or last_send_of(record)
  if code_sent_at > 0 then
    put(key, 'code_sent_at', code_sent_at)
    record.code_sent_at = nil
  end
  if not is_verified(record) then
    local verified_at = caller_id.dated > 0 and math.min(caller_id.dated, now) or now
    put(key, 'verified_at', math.max(verified_at, code_sent_at))
  end
  write_uuid(key, record, caller_id.uuid)
  put(key, 'checked_at', now)
  if not record.state then write_counts(key, record) end
  write_hash(key)
  -- No code of the record's request has verified the number, so that request has not.
  if record.state then redis.call('HSETNX', key, 'code_request', 0) end
  redis.call('HSETNX', key, 'request', math.floor(now / 1000))
  redis.call('HSETNX', key, 'lane', 'scheduled')
  redis.call('HSETNX', key, 'channel', caller_id.channel)
  drop(key, 'live_before', 'lease_until', 'due_at', 'detail', 'tries', 'confirm')
  set_or_delete(key, 'subaccount', caller_id.subaccount)
  write_country_and_alias(key, record, caller_id)
  redis.call('PERSIST', key)
  set_state(key, record, caller_id.number, 'verified', '')
  restart_schedule(key, record, caller_id.number)
end

-- Notes that Plivo still has a verified number.
local function refresh(key, record, caller_id)
  put(key, 'checked_at', now)
  write_uuid(key, record, caller_id.uuid)
  set_or_delete(key, 'subaccount', caller_id.subaccount)
  write_country_and_alias(key, record, caller_id)
  restart_schedule(key, record, caller_id.number)
end

local function mark(key, caller_id)
  local record = read(key)
  if not record.state then
    if not whole_list then return 'gone' end
    record_from_plivo(key, read_or_revive(key, caller_id.number), caller_id)
    return 'recorded'
  end
  if is_newer(record) then return 'stale' end
  local has_uuid_of_last_code = caller_id.uuid == record.verification_uuid
  local is_known = is_code_used(record) and (record.state == 'verified' or has_uuid_of_last_code)
  if not is_known and is_of_last_code(record, caller_id) then
    -- A newer code that is being sent, or may have been sent, stays live.
    local last_code_lives_until = milliseconds(record, 'expires_at') + config.code_margin_ms
    local no_newer_code = has_uuid_of_last_code and milliseconds(record, 'live_until') <= last_code_lives_until
      or record.state == 'in_doubt' and not has_uuid_of_last_code
    if no_newer_code then drop(key, 'live_until') end
    put(key, 'verified_at', now)
    write_uuid(key, record, caller_id.uuid)
    drop(key, 'live_before', 'lease_until', 'due_at', 'detail', 'tries', 'sample')
    if handle ~= '' or has_uuid_of_last_code then
      judge_code(key, record, caller_id.number, true)
      count_of_request('entered', record)
    end
    set_or_delete(key, 'confirm', handle)
    if handle ~= '' then uncount_entry(key, record) end
    write_country_and_alias(key, record, caller_id)
    redis.call('PERSIST', key)
    set_state(key, record, caller_id.number, 'verified', '')
    restart_schedule(key, record, caller_id.number)
    return 'verified'
  end

  if is_known and record.state == 'verified' and handle == '' then write_uuid(key, record, caller_id.uuid) end
  local is_proof = not_about_codes and not needs_new_proof(record)
  if is_proof and record.state == 'verified' then
    refresh(key, record, caller_id)
  elseif is_proof and FINAL[record.state] and milliseconds(record, 'live_until') <= now then
    record_from_plivo(key, record, caller_id)
    return 'verified'
  elseif not_about_codes and is_verified(record) then
    put(key, 'checked_at', now)
  end
  if is_known then return record.confirm == handle and 'verified' or 'already' end
  return is_proof and is_verified(record) and 'already' or 'stale'
end

local record_keys, answers = KEYS, {}
for i, caller_id in ipairs(cjson.decode(caller_ids)) do
  local key = record_keys[i]
  answers[i] = unless_damaged(key, function() return mark(key, caller_id) end) or 'gone'
end
return answers
