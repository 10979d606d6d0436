-- the keys of a batch, its state, and the state by which a record goes
-- ARGV[2] - what all keys begin with: a record names its batch, so that its keys cannot be in KEYS
local WANTS = {cancelled = 1, paused = 2, running = 3, completed = 3}  -- how much a batch wants its numbers sent to

local function batch_key(...)
  return table.concat({ARGV[2], 'batch', ...}, ':')
end

local batch_states = {}
local function batch_state(name)
  batch_states[name] = batch_states[name] or redis.call('HGET', batch_key(name), 'state')
  return batch_states[name]
end

-- Whether a record is a row of the batch that has this name now: the name is free again once a batch is forgotten, and
-- a verified number's record is older than its heir.
local function is_row(record)
  if not (record.batch and batch_state(record.batch)) then return false end
  local created_at = tonumber(redis.call('HGET', batch_key(record.batch), 'created_at'))
  return tonumber(record.request) >= math.floor(created_at / 1000)
end

-- The state of the batch by whose word a record goes; nil if it is no row, or a person has taken it over. Where others
-- have joined the request, `joined_by`, it goes by the word of whichever wants it most.
local function batch_word(record)
  if not (record.batch and record.lane == 'bulk') then return nil end
  local word = batch_state(record.batch)
  for name in (record.joined_by or ''):gmatch('[^/]+') do
    local other = batch_state(name)
    if (WANTS[other] or 0) > (WANTS[word] or 0) then word = other end
  end
  return word or nil
end

-- Of batches, '/' between their names, those for which a request of the batch `own` stands, too.
local function joiners(own, names)
  local found, seen = {}, {[own] = true}
  for name in names:gmatch('[^/]+') do
    if not seen[name] and (WANTS[batch_state(name)] or 0) > WANTS.cancelled then found[#found + 1] = name end
    seen[name] = true
  end
  return table.concat(found, '/')
end
