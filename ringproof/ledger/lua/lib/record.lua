-- needs: arguments, clock, settings, set_back, jumps, line, changes, schema
-- How scripts read and write a hash, above all a number's record. An absent field stands for an empty value.
local TIMES = {
  'updated_at', 'code_sent_at', 'verified_at', 'checked_at', 'look_ups_from', 'wrong_at',
  'live_until', 'live_before', 'lease_until', 'expires_at', 'due_at', 'ends_at', 'claimed_until', 'locked_until',
}

local function milliseconds(record, field)
  return tonumber(record[field]) or 0
end

-- Returns the times of a record that was last changed then (ms) which the clock has moved: field -> ms.
local function moved_times(record, changed_at)
  local moved = {}
  for _, field in ipairs(TIMES) do
    local at = milliseconds(record, field)
    local to = at > 0 and moved_time(at, changed_at) or at
    if to ~= at then moved[field] = to end
  end
  return moved
end

-- Moves the times of a record with Redis' clock, as if the record's last change was made now, and with them its entry
-- on the agenda and its places in the line and the backlog. Otherwise the number would wait for times that are an hour
-- away: for the end of its code, of its lease, of its turn. Or these times would come too early.
-- Returns whether it has moved any.
local function follow_clock(key, record)
  local changed_at = milliseconds(record, 'updated_at')
  if changed_at == 0 or set_back_since(changed_at) == 0 and not has_jumped_since(changed_at) then return false end
  if is_newer(record) then return false end
  local number, moved = key:match(':number:(.+)$'), moved_times(record, changed_at)
  local agenda_at = tonumber(redis.call('ZSCORE', agenda_key, number) or nil)
  if not next(moved) and not agenda_at then return false end
  moved.updated_at = now
  redis.call('HDEL', key, '')  -- Redis allows this when it is out of memory, and then allows the next writes, too
  for field, at in pairs(moved) do redis.call('HSET', key, field, at) end
  if agenda_at then redis.call('ZADD', agenda_key, moved_time(agenda_at, changed_at), number) end
  if record.channel then
    change_place(number, record.channel, place_of(record, moved.ends_at or milliseconds(record, 'ends_at')))
  end
  return true
end

-- Returns the hash as a table of texts, and as the flat list that Redis returned.
local function read(key)
  write_hash(key)
  local flat = redis.call('HGETALL', key)
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  if follow_clock(key, record) then return read(key) end
  note_hash(key, record)
  return record, flat
end

-- Returns the slot (ms) of the last attempt of a record that is `sending` or in doubt.
local function slot_of(record)
  return milliseconds(record, 'live_until') - config.code_ms - config.lease_ms
end

-- Returns from when (ms) the cooldown of the last code counts: from its sending. If Plivo has not answered, the end of
-- that code's life shows it roughly. The time by which Redis' clock has jumped since then has not passed.
local function last_send_of(record)
  local sent_at = milliseconds(record, 'code_sent_at')
  local by_its_end = milliseconds(record, 'live_until') - config.code_ms - config.code_margin_ms
  if sent_at > 0 then
    for _, jump in ipairs(jumps_since(sent_at)) do sent_at = sent_at + jump.by end
  end
  return math.max(sent_at, by_its_end)
end

-- Whether the worker of a lost attempt may still send: its lease has ended a moment ago. By its own clock the lease may
-- go on, if Redis' clock has jumped ahead.
local function may_still_send(record)
  return record.reason == 'worker_lost' and milliseconds(record, 'updated_at') + config.lease_ms > now
end

-- A long alias is spread over several fields: alias, alias1, …
local function delete_alias(key, record)
  for field in pairs(record) do
    if field:find('^alias%d*$') then drop(key, field) end
  end
end

-- The counts of what a number may have no more of. They belong to the number, and not to a request.
local COUNTS = {'codes', 'calls', 'wrong', 'wrong_at', 'locked_until'}

-- Writes the counts of a record into a new one.
local function write_counts(key, record)
  for _, field in ipairs(COUNTS) do
    if record[field] then put(key, field, record[field]) end
  end
end

-- Whether the number's verification stands. It ends when the number lapses, and when Plivo no longer has the number;
-- whatever becomes of a newer request does not end it.
local function is_verified(record)
  return record.verified_at ~= nil and record.reason ~= 'lapsed'
end

-- Whether the last sent code has verified the number. `verified_uuid` is the uuid that did, if it is another one's.
local function is_code_used(record)
  return record.verified_at ~= nil and not record.verified_uuid
    and milliseconds(record, 'verified_at') >= milliseconds(record, 'code_sent_at')
end

-- Returns the uuid by which the number was verified; nil if that is unknown. Plivo's list shows it for years.
local function uuid_of_verification(record)
  return record.verified_uuid or is_code_used(record) and record.verification_uuid or nil
end
