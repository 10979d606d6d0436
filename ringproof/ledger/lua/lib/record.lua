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

-- Whether the last sent code has verified the number.
local function is_code_used(record)
  return record.verified_at ~= nil and milliseconds(record, 'verified_at') >= milliseconds(record, 'code_sent_at')
end
