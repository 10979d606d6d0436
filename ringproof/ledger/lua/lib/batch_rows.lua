-- needs: arguments, clock, batch_tables, settings, batch_state
-- The rows of batches. Each row has one byte for its outcome so far, and every count of a batch follows the bytes.

-- Makes all keys of an ended batch expire at the same moment, `ms` from now. None may outlive the hash: without it no
-- script counts a row, so none creates a key again. `ms` is nil for a batch that runs again: its keys stay.
local function expire_batch(name, ms)
  local keys = {batch_key(name)}
  for i, key in ipairs(BATCH_KEYS) do keys[i + 1] = prefix .. key:gsub('NAME', function() return name end) end
  for _, key in ipairs(keys) do
    if ms then redis.call('PEXPIRE', key, ms) else redis.call('PERSIST', key) end
  end
end

local OUTCOMES = {}
for outcome, byte in pairs(BYTES) do OUTCOMES[byte] = outcome end

local function is_unfinished(byte)
  return byte == '' or UNFINISHED_BYTES:find(byte, 1, true) ~= nil
end

-- Adds `by` to the counts of the byte's outcome. A row that was not fed is in no count.
local function count_row(name, list, country, byte, by)
  local outcome = OUTCOMES[byte]
  if not outcome then return end
  redis.call('HINCRBY', batch_key(name, 'counts'), list .. ':' .. outcome, by)
  redis.call('HINCRBY', batch_key(name, 'countries'), country .. ':' .. outcome:match('^[^:]+'), by)
end

-- Completes a batch whose last row has got its outcome; its state makes sure that this happens once. A paused batch
-- with joined rows is completed only when it is resumed, because the joined request may depend on it.
local function complete_batch(name)
  local key = batch_key(name)
  local state = redis.call('HGET', key, 'state')
  if state == 'paused' then
    for _, joined in ipairs(redis.call('HMGET', batch_key(name, 'counts'), 'sms:joined', 'call:joined')) do
      if (tonumber(joined) or 0) > 0 then return end
    end
  elseif state ~= 'running' then
    return
  end
  redis.call('HSET', key, 'state', 'completed', 'completed_at', now)
  batch_states[name] = 'completed'
  redis.call('ZREM', prefix .. ':feeding', name)
  redis.call('RPUSH', prefix .. ':completed', name)  -- the feeder writes a line to the log for each of these
  expire_batch(name, config.record_ms)
  redis.call('PUBLISH', prefix .. ':events', cjson.encode({event = 'batch_completed', batch = name, at_ms = now}))
end

-- Counts a sent code for the rate of its batch: older codes weigh less.
local function count_send(name)
  local key = batch_key(name)
  local old_weight, sent_at = unpack(redis.call('HMGET', key, 'sent_weight', 'sent_at'))
  local weight = (tonumber(old_weight) or 0) * math.exp(math.min(0, (tonumber(sent_at) or now) - now) / RATE_MS)
  if weight < 0.01 then redis.call('HSET', key, 'sent_since', now) end
  redis.call('HSET', key, 'sent_weight', string.format('%.4f', weight + 1), 'sent_at', now)
end

-- Sets the byte of a row to an outcome ('state', 'state:reason', or why there is no request), and moves the counts.
local function set_row_outcome(name, list, place, country, outcome)
  local bytes_key, after = batch_key(name, list, 'bytes'), BYTES[outcome] or BYTES[outcome:match('^[^:]+')]
  local before = redis.call('GETRANGE', bytes_key, place, place)
  if before == after then return end
  redis.call('SETRANGE', bytes_key, place, after)
  count_row(name, list, country, before, -1)
  count_row(name, list, country, after, 1)
  if outcome == 'code_sent' then count_send(name) end
  local more_unfinished = (is_unfinished(after) and 1 or 0) - (is_unfinished(before) and 1 or 0)
  if more_unfinished ~= 0 and redis.call('HINCRBY', batch_key(name), 'open', more_unfinished) == 0 then
    complete_batch(name)
  end
end

-- Sets the row of a record to the record's new state. Does nothing if the batch has expired.
local function update_row_of(record, state, reason)
  if not is_row(record) then return end
  local list, place, country = row_of(record)
  local outcome = reason ~= '' and state .. ':' .. reason or state
  if reason == 'country' then outcome = reason end  -- as a row that feed refuses for its country
  set_row_outcome(record.batch, list, place, country, outcome)
end

-- Erases a row: only its country stays, for the counts. A row that was fed and had no outcome gets the outcome
-- `erased`.
local function blank_row(name, list, place, country)
  redis.call('LSET', batch_key(name, list), place, country)
  local byte = redis.call('GETRANGE', batch_key(name, list, 'bytes'), place, place)
  if OUTCOMES[byte] and is_unfinished(byte) then set_row_outcome(name, list, place, country, 'erased') end
end

-- A newer request is about to replace this record, whose row keeps its outcome. A row without outcome becomes `joined`,
-- or `cancelled` if its batch was cancelled and the record was not notified yet.
local function release_row(record)
  if not is_row(record) then return end
  local list, place, country = row_of(record)
  if is_unfinished(redis.call('GETRANGE', batch_key(record.batch, list, 'bytes'), place, place)) then
    local outcome = batch_state(record.batch) == 'cancelled' and 'cancelled' or 'joined'
    set_row_outcome(record.batch, list, place, country, outcome)
  end
end
