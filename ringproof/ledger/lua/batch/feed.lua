-- needs: arguments, clock, record, batch_state, batch_rows, destinations, tombstone, limits, request, changes, schema, gate
-- Feeds a page of a batch: decides about each row, writes the requests, and moves the cursor, in one go.
-- input:  KEYS    the batch, the places of the list's retries, the batches that are fed
--         ARGV    the batch's name, the list's name (the channel), the roster's column of the table,
--                 ms until a request's deadline,
--                 '1' if the rows are the list's first retries, else they are the rows from the cursor on;
--                 JSON, for each row: {place, number, country, is_personal, asleep_until (ms; 0: awake), fields},
--                 where `fields` are the request's other fields and values as a flat list
-- output: for each row its disposition, its request, and 1 if the request waits (0: send its message now); `ended`
--         for a row that has got an outcome meanwhile, and keeps it; nothing if the batch is not running, or
--         other rows come next, or Redis may have gone back: then it may not know which rows were fed
local batch_hash, retries_key, feeding_key = unpack(KEYS)
local name, list, column, lasts_ms, are_retries, page_json = unpack(ARGV, 3)
local page = cjson.decode(page_json)
are_retries = are_retries == '1'
local cursor_field = 'cursor:' .. list
if is_gate_closed('') or batch_state(name) ~= 'running' then return {} end

if are_retries then
  local places = redis.call('LRANGE', retries_key, 0, #page - 1)
  for i, row in ipairs(page) do
    if places[i] ~= row.place then return {} end
  end
elseif (redis.call('HGET', batch_hash, cursor_field) or '0') ~= page[1].place then
  return {}
end

-- A damaged record ends the script here, where nothing is changed. Later, the rows of the page would be behind the
-- cursor, and records that get a new request would be gone.
local records = {}
for _, row in ipairs(page) do records[row.number] = {read(key_of_record(row.number))} end

-- The first write must be one that Redis refuses when it is out of memory, or a part of the page would be fed.
if are_retries then
  redis.call('HSET', batch_hash, 'fed_at', now)
  redis.call('LTRIM', retries_key, #page, -1)
else
  redis.call('HSET', batch_hash, 'fed_at', now, cursor_field, page[1].place + #page)
end
redis.call('ZADD', feeding_key, 'XX', now_us, name)

-- Whether a row was erased, perhaps since the caller has read the page: then only its country is left.
local rows_key = batch_key(name, list)
local stored = are_retries and {} or redis.call('LRANGE', rows_key, page[1].place, page[#page].place)
local function is_erased(row, nth)
  local packed = stored[nth] or redis.call('LINDEX', rows_key, row.place)
  return not packed:find('+', 1, true)
end

-- Whether a row has an outcome by now: an operator has cancelled it, or a person's request stands for one that an
-- operator retries.
local function has_outcome(row)
  local byte = byte_of(name, list, row.place)
  return byte ~= '' and byte ~= '\0'
end

-- Adds this batch to the `joined_by` of another batch's record. Then the request goes on even if that other batch is
-- paused or cancelled.
local function note_join(key, record)
  if not record.batch or is_newer(record) then return end
  set_or_delete(key, 'joined_by', joining_batches(record.batch, (record.joined_by or '') .. '/' .. name))
end

local answers, ends_at = parse_answers(column), now + tonumber(lasts_ms)
-- is_row needs request numbers that are not below the batch's second, even if Redis' clock was set back.
local least_request = math.floor(tonumber(redis.call('HGET', batch_hash, 'created_at')) / 1000)

local function feed_row(row)
  local key = key_of_record(row.number)
  local record, flat = read_or_revive(key, row.number, unpack(records[row.number] or {}))
  records[row.number] = nil  -- another row of the same number has to see what this one has changed
  local asked = {
    answers = answers, lane = 'bulk', channel = list, country = row.country, is_personal = row.is_personal,
    is_of_batch = true, least_request = least_request, ends_at = ends_at,
    asleep_until = row.asleep_until, fields = row.fields,
  }
  local destination = destination_of(row, row.number)
  asked.is_refused = is_closed(destination) and not may_be_tried(destination)
  local decision = decide(record, row.number, asked)
  if decision.refused_by then count_refusal(decision.refused_by) end
  local disposition, limit = decision.disposition, decision.limit
  if disposition == 'accepted' then
    local fields, size = asked.fields, #asked.fields
    fields[size + 1], fields[size + 2] = 'batch', name
    fields[size + 3], fields[size + 4] = 'row', list .. ':' .. row.place .. ':' .. row.country
    write_request(key, record, flat, row.number, decision.request, asked)
  else
    if disposition == 'joined' then note_join(key, record) end
    set_row_outcome(name, list, row.place, row.country, limit ~= '' and disposition .. ':' .. limit or disposition)
  end
  return {disposition, decision.request, (asked.is_refused or asked.asleep_until > now) and 1 or 0}
end

local results = {}
for nth, row in ipairs(page) do
  if has_outcome(row) then
    results[nth] = {'ended', 0, 0}
  elseif is_erased(row, nth) then
    set_row_outcome(name, list, row.place, row.country, 'erased')
    results[nth] = {'erased', 0, 0}
  else
    results[nth] = feed_row(row)
  end
end
return results
