-- needs: arguments
-- What a script changes in hashes and on the agenda is written at its end: one HSET, and one HDEL before it, for each
-- hash, and one ZADD for all numbers. Each command costs Redis more than the fields in it.
local hashes = {}  -- key -> field -> its new value; false: none
local agenda = {}  -- number -> its next moment (ms); false: none
local known = {}  -- key -> the fields of a hash as this script has read it, and not written it since

-- Returns the changes of a hash: its fields may be set there, to values that are no nil. This is the cheapest way.
local function changes_of(key)
  local changes = hashes[key]
  if not changes then
    changes = {}
    hashes[key] = changes
  end
  return changes
end

-- Sets fields of a hash: put(key, 'state', 'queued', 'updated_at', now). A field's value is no nil.
local function put(key, ...)
  local changes, parts = changes_of(key), {...}
  for i = 1, #parts, 2 do changes[parts[i]] = parts[i + 1] end
end

-- Notes the fields that a hash has in Redis now: then no absent one is removed.
local function note_hash(key, fields)
  known[key] = fields
end

-- Removes a field of a hash.
local function drop_field(key, field)
  local changes, fields = hashes[key], known[key]
  if not fields or fields[field] or changes and changes[field] then changes_of(key)[field] = false end
end

-- Removes fields of a hash.
local function drop(key, ...)
  local names = {...}
  for i = 1, #names do drop_field(key, names[i]) end
end

local function set_or_delete(key, field, value)
  if value and value ~= '' then changes_of(key)[field] = value else drop_field(key, field) end
end

-- Returns fields of a hash as they will be, those that have a value, as a flat list: `fields` is the hash as the script
-- has read it.
local function changed_fields(key, fields, names)
  local changes, flat, size = hashes[key] or {}, {}, 0
  for i = 1, #names do
    local name = names[i]
    local value = changes[name]
    if value == nil then value = fields[name] end
    if value then
      flat[size + 1], flat[size + 2] = name, value
      size = size + 2
    end
  end
  return flat
end

local set_fields = {}  -- the arguments of an HSET; used for each hash, because a new table would grow each time

-- Writes the changes of a hash that a script has to read, or to let expire. HDEL comes first: Redis allows it when it
-- is out of memory.
local function write_hash(key)
  local changes = hashes[key]
  if not changes then return end
  hashes[key], known[key] = nil, nil
  local dropped, size = {}, 0
  for field, value in pairs(changes) do
    if value then
      set_fields[size + 1], set_fields[size + 2] = field, value
      size = size + 2
    else
      dropped[#dropped + 1] = field
    end
  end
  if dropped[1] then redis.call('HDEL', key, unpack(dropped)) end
  if size > 0 then redis.call('HSET', key, unpack(set_fields, 1, size)) end
end

-- Forgets what a script has changed of a number's record, and its moment on the agenda, and has not written.
local function forget_changes(key, number)
  hashes[key], known[key], agenda[number] = nil, nil, nil
end

-- Sets the moment (ms) at which a number needs attention next; nil: it needs none.
local function set_agenda(number, at)
  agenda[number] = at or false
end

local MOST_PARTS = 1000  -- Lua takes some thousand arguments
local function call_with_many(command, key, parts)
  for i = 1, #parts, MOST_PARTS do
    redis.call(command, key, unpack(parts, i, math.min(i + MOST_PARTS - 1, #parts)))
  end
end

local function write_agenda()
  local entries, gone = {}, {}
  for number, at in pairs(agenda) do
    if at then
      entries[#entries + 1], entries[#entries + 2] = at, number
    else
      gone[#gone + 1] = number
    end
  end
  agenda = {}
  call_with_many('ZREM', agenda_key, gone)
  call_with_many('ZADD', agenda_key, entries)
end

local function write_changes()
  for key in pairs(hashes) do write_hash(key) end
  write_agenda()
end
