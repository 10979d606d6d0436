-- needs: arguments, budget
-- The state of a batch, and the batch state that applies to a record.
-- A record's `batch` is the name of its batch; its `row` is 'sms:17:US': list, place in the list, country. `joined_by`
-- names the other batches that joined its request, with '/' between them.

-- Where several batches want one number, the state with the highest priority applies.
local PRIORITY = {cancelled = 1, paused = 2, running = 3, completed = 3}

-- The other states that this version knows. A newer one may have more: what they mean for a number only it knows.
local WITHOUT_PRIORITY = {importing = true}

local function batch_key(...)
  return table.concat({prefix, 'batch', ...}, ':')
end

local batch_states, first_requests, payers = {}, {}, {}
local function batch_state(name)
  local state = batch_states[name]
  if not state then
    local created_at
    state, created_at, payers[name] = unpack(redis.call('HMGET', batch_key(name), 'state', 'created_at', 'pays'))
    batch_states[name], first_requests[name] = state, created_at and math.floor(created_at / 1000)
  end
  return state
end

-- Notes the state that this script gives a batch.
local function note_batch_state(name, state)
  batch_states[name] = state
end

-- Returns the batch that pays for the codes of a batch: itself, or the one whose resend it is; nil if it has no prices.
local function batch_payer(name)
  return batch_state(name) and payers[name] or nil
end

-- Whether a record is a row of the batch that has this name now. A name can be reused after its batch has expired, and
-- the record of a verified number outlives its batch. So the request's number must not be older than the batch.
local function is_row(record)
  if not (record.batch and batch_state(record.batch)) then return false end
  return tonumber(record.request) >= first_requests[record.batch]
end

-- Returns the list, the place and the country of a record's row.
local function row_of(record)
  return record.row:match('^(%l+):(%d+):(%w*)$')
end

-- Whether the code of a record's request is paid.
local function is_paid(record)
  return record.paid ~= nil and record.paid == record.request
end

-- Whether a record's code would cost more than is left of a batch's budget.
local function exceeds_budget(name, record)
  if not batch_payer(name) or is_paid(record) then return false end
  local list, _, country = row_of(record)
  return is_beyond_budget(batch_payer(name), list, country)
end

-- Returns the state of a batch for one record: a batch that cannot pay for its code is paused.
local function state_with_budget(name, record)
  local state = batch_state(name)
  if (state == 'running' or state == 'completed') and exceeds_budget(name, record) then return 'paused' end
  return state
end

-- Returns the batch that pays for a record's code: the first of its own and those that have joined that can; nil if
-- that one has no prices.
local function paying_batch(record)
  for name in (record.batch .. '/' .. (record.joined_by or '')):gmatch('[^/]+') do
    local state = state_with_budget(name, record)
    if state == 'running' or state == 'completed' then return batch_payer(name) and name end
  end
  return batch_payer(record.batch) and record.batch
end

-- Returns the batch state that decides whether a record may be sent to; nil if it is no row, or if a person has taken
-- the request over; `newer` if only a newer version knows the state. A batch that has joined the request keeps it going
-- when the first batch is paused or cancelled, or cannot pay for it.
local function batch_state_for(record)
  if not (record.batch and record.lane == 'bulk') then return nil end
  local state = state_with_budget(record.batch, record)
  if record.joined_by then
    for name in record.joined_by:gmatch('[^/]+') do
      local other = state_with_budget(name, record)
      if (PRIORITY[other] or 0) > (PRIORITY[state] or 0) then state = other end
    end
  end
  if state and not PRIORITY[state] and not WITHOUT_PRIORITY[state] then return 'newer' end
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
