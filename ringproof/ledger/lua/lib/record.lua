-- record: how a record is read. Put in front of each script, as all that follows down to newcomer.lua.

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

-- An alias is spread over as many fields as it needs.
local function drop_alias(key, record)
  for field in pairs(record) do
    if field:find('^alias') then redis.call('HDEL', key, field) end
  end
end

-- Whether the last sent code has done its work: the number was verified since.
local function used(record)
  return record.verified_at ~= nil and milliseconds(record, 'verified_at') >= milliseconds(record, 'code_sent_at')
end
