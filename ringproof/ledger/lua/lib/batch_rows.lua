-- needs: arguments, clock, batch_tables, settings, batch_state, changes, outbox
-- The rows of batches. Each row has one byte for its outcome so far, and every count of a batch follows the bytes.

-- Makes all keys of an ended batch expire at the same moment, `ms` from now. None may outlive the hash: without it no
-- script counts a row, so none creates a key again. `ms` is nil for a batch that runs again: its keys stay.
local function expire_batch(name, ms)
  local keys = {batch_key(name)}
  for key in BATCH_KEYS:gmatch('%S+') do
    keys[#keys + 1] = prefix .. key:gsub('NAME', function() return name end)
  end
  for _, key in ipairs(keys) do
    if ms then redis.call('PEXPIRE', key, ms) else redis.call('PERSIST', key) end
  end
end

local function is_unfinished(byte)
  return byte == '' or UNFINISHED_BYTES:find(byte, 1, true) ~= nil
end

-- What this script changes in batches is written at its end: each count once. By batch and list, its rows: changed
-- (place -> byte), counts (country -> byte -> by how many more rows have it), sent (how many codes), and blocks (first
-- place -> the bytes as they are in Redis).
local changed_batches = {}
local function rows_of(name, list)
  local lists = changed_batches[name]
  if not lists then
    lists = {}
    changed_batches[name] = lists
  end
  lists[list] = lists[list] or {changed = {}, counts = {}, sent = 0, blocks = {}}
  return lists[list]
end

local BLOCK_ROWS = 64  -- most scripts change neighbours, and one command reads so many as fast as one

-- Returns the byte of a row; '' behind the last one that was fed.
local function byte_of(name, list, place)
  local rows, nth = rows_of(name, list), place % BLOCK_ROWS
  local first = place - nth
  local block = rows.blocks[first]
  if not block then
    block = redis.call('GETRANGE', batch_key(name, list, 'bytes'), first, first + BLOCK_ROWS - 1)
    rows.blocks[first] = block
  end
  return rows.changed[first + nth] or block:sub(nth + 1, nth + 1)
end

-- Adds `by` to the counts of the byte's outcome.
local function count_row(rows, country, byte, by)
  local counts = rows.counts[country] or {}
  rows.counts[country] = counts
  counts[byte] = (counts[byte] or 0) + by
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
  put(key, 'state', 'completed', 'completed_at', now)
  note_batch_state(name, 'completed')
  redis.call('ZREM', prefix .. ':feeding', name)
  redis.call('RPUSH', prefix .. ':completed', name)  -- the feeder writes a line to the log for each of these
  expire_batch(name, config.record_ms)
  note_completed_batch(name)
  redis.call('PUBLISH', prefix .. ':events', cjson.encode({event = 'batch_completed', batch = name, at_ms = now}))
end

-- Counts sent codes for the rate of their batch: older codes weigh less.
local function count_sends(name, sent)
  local key = batch_key(name)
  local old_weight, sent_at = unpack(redis.call('HMGET', key, 'sent_weight', 'sent_at'))
  local weight = (tonumber(old_weight) or 0) * math.exp(math.min(0, (tonumber(sent_at) or now) - now) / RATE_MS)
  if weight < 0.01 then put(key, 'sent_since', now) end
  put(key, 'sent_weight', string.format('%.4f', weight + sent), 'sent_at', now)
end

-- Writes bytes of a list: one command for each row of neighbours.
local function write_bytes(name, list, bytes)
  local places, run, from = {}, {}, nil
  for place in pairs(bytes) do places[#places + 1] = place end
  table.sort(places)
  for i, place in ipairs(places) do
    from = from or place
    run[#run + 1] = bytes[place]
    if places[i + 1] ~= place + 1 then
      redis.call('SETRANGE', batch_key(name, list, 'bytes'), from, table.concat(run))
      run, from = {}, nil
    end
  end
end

-- Adds to the counts of a list's outcomes, and to those of its countries. A row that was not fed is in no count.
-- Returns how many more rows are without an outcome.
local function write_row_counts(name, list, counts)
  local by_list, by_country, unfinished = {}, {}, 0
  for country, bytes in pairs(counts) do
    for byte, by in pairs(bytes) do
      if is_unfinished(byte) then unfinished = unfinished + by end
      local outcome = outcome_of_byte(byte)
      if outcome then
        local of_list, of_country = list .. ':' .. outcome, country .. ':' .. outcome:match('^[^:]+')
        by_list[of_list] = (by_list[of_list] or 0) + by
        by_country[of_country] = (by_country[of_country] or 0) + by
      end
    end
  end
  for key, changes in pairs({[batch_key(name, 'counts')] = by_list, [batch_key(name, 'countries')] = by_country}) do
    for field, by in pairs(changes) do
      if by ~= 0 then redis.call('HINCRBY', key, field, by) end
    end
  end
  return unfinished
end

-- Writes all changes in batches. Each script that has this piece does so at its end.
local function write_batches()
  for name, lists in pairs(changed_batches) do
    local open, sent = 0, 0
    for list, rows in pairs(lists) do
      write_bytes(name, list, rows.changed)
      open, sent = open + write_row_counts(name, list, rows.counts), sent + rows.sent
    end
    if sent > 0 then count_sends(name, sent) end
    if open ~= 0 and redis.call('HINCRBY', batch_key(name), 'open', open) == 0 then complete_batch(name) end
  end
end

-- Sets the byte of a row to an outcome ('state', 'state:reason', or why there is no request), and moves the counts.
local function set_row_outcome(name, list, place, country, outcome)
  local before, rows = byte_of(name, list, place), rows_of(name, list)
  local after = byte_of_outcome(outcome) or byte_of_outcome(outcome:match('^[^:]+'))
  if before == after then return end
  rows.changed[tonumber(place)] = after
  count_row(rows, country, before, -1)
  count_row(rows, country, after, 1)
  if outcome == 'code_sent' then rows.sent = rows.sent + 1 end
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
  local byte = byte_of(name, list, place)
  if outcome_of_byte(byte) and is_unfinished(byte) then set_row_outcome(name, list, place, country, 'erased') end
end

-- A newer request is about to replace this record, whose row keeps its outcome. A row without outcome becomes `joined`,
-- or `cancelled` if its batch was cancelled and the record was not notified yet.
local function release_row(record)
  if not is_row(record) then return end
  local list, place, country = row_of(record)
  if is_unfinished(byte_of(record.batch, list, place)) then
    local outcome = batch_state(record.batch) == 'cancelled' and 'cancelled' or 'joined'
    set_row_outcome(record.batch, list, place, country, outcome)
  end
end
