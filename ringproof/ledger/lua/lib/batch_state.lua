-- needs: arguments
-- The state of a batch, and the batch state that applies to a record.
-- A record's `batch` is the name of its batch; its `row` is 'sms:17:US': list, place in the list, country. `joined_by`
-- names the other batches that joined its request, with '/' between them.

-- Where several batches want one number, the state with the highest priority applies.
local PRIORITY = {cancelled = 1, paused = 2, running = 3, completed = 3}

local function batch_key(...)
  return table.concat({prefix, 'batch', ...}, ':')
end

local batch_states, created = {}, {}
local function batch_state(name)
  if not batch_states[name] then
    batch_states[name], created[name] = unpack(redis.call('HMGET', batch_key(name), 'state', 'created_at'))
  end
  return batch_states[name]
end

-- Whether a record is a row of the batch that has this name now. A name can be reused after its batch has expired, and
-- the record of a verified number outlives its batch. So the request's number must not be older than the batch.
local function is_row(record)
  if not (record.batch and batch_state(record.batch)) then return false end
  return tonumber(record.request) >= math.floor(created[record.batch] / 1000)
end

-- Returns the list, the place and the country of a record's row.
local function row_of(record)
  return record.row:match('^(%l+):(%d+):(%w*)$')
end

-- Returns the batch state that decides whether a record may be sent to; nil if it is no row, or if a person has taken
-- the request over. A batch that has joined the request keeps it going when the first batch is paused or cancelled.
local function batch_state_for(record)
  if not (record.batch and record.lane == 'bulk') then return nil end
  local state = batch_state(record.batch)
  for name in (record.joined_by or ''):gmatch('[^/]+') do
    local other = batch_state(name)
    if (PRIORITY[other] or 0) > (PRIORITY[state] or 0) then state = other end
  end
  return state or nil
end

-- Returns those batches of `names` ('/' between them) that are not cancelled: each once, and without `own`, the
-- request's batch. This is the record's `joined_by`.
local function joining_batches(own, names)
  local joining, seen = {}, {[own] = true}
  for name in names:gmatch('[^/]+') do
    if not seen[name] and (PRIORITY[batch_state(name)] or 0) > PRIORITY.cancelled then joining[#joining + 1] = name end
    seen[name] = true
  end
  return table.concat(joining, '/')
end
