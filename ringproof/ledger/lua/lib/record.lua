-- How scripts read and write a hash, above all a number's record. An absent field stands for an empty value.

-- Returns the hash as a table of texts, and as the flat list that Redis returned.
local function read(key)
  local flat = redis.call('HGETALL', key)
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  return record, flat
end

local function milliseconds(record, field)
  return tonumber(record[field]) or 0
end

local function set_or_delete(key, field, value)
  if value and value ~= '' then
    redis.call('HSET', key, field, value)
  else
    redis.call('HDEL', key, field)
  end
end

-- A long alias is spread over several fields: alias, alias1, …
local function delete_alias(key, record)
  for field in pairs(record) do
    if field:find('^alias') then redis.call('HDEL', key, field) end
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
