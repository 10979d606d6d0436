-- needs: arguments, clock, set_back, forgetting, changes
-- The destinations of codes: where Plivo took a code lately, and which ones it refuses (403). A destination is a
-- country. A number without one, such as a satellite's, counts by its first four digits.
-- The hash of `destinations_key`, times in ms; D is a destination:
--   D:taken          the slot of the last code that Plivo took
--   D:row, D:slot    refusals in a row since then, and the slot of the last one
--   D:strays         high if it refuses single numbers all the time: then only more refusals in a row say anything
--   D:since          since when the destination is closed. Then one number is tried now and then, and the others wait
--   D:next, D:wait   from when on the next number may be tried; how long the one after it has to wait
-- The sorted set of `waiting_key` has the numbers that wait: D/0/NUMBER, or D/1/NUMBER for a number that Plivo has
-- refused itself. All scores are 0, so that it is in alphabetical order, and those not refused come first.
local destinations_key, waiting_key = prefix .. ':destinations', prefix .. ':destinations:waiting'
local LATELY_MS = 86400000        -- a code was taken "lately": today. Until then Plivo's permissions hardly change
local REFUSED_IN_A_ROW = 3        -- so many refusals in a row close a destination where codes were taken lately
local STRAY, MOST_STRAYS = 4, 8   -- a single number that was refused adds 4 strays, and one that was taken removes 1
local LONGEST_NEXT_MS = 600000    -- no try is due so far in the future
local FIRST_TRY_MS, LONGEST_TRY_MS = 5000, 30000  -- a closed destination is tried after 5, 10, 20, 30, 30 … s

local function destination_of(record, number)
  local country = record.country or ''
  return country:find('^%u%u$') and country or number:sub(1, 5)
end

local destinations = {}
local function read_destination(name)
  if not destinations[name] then
    local fields = {'taken', 'row', 'slot', 'strays', 'since', 'next', 'wait'}
    local names = {}
    for i, field in ipairs(fields) do names[i] = name .. ':' .. field end
    local values, destination = redis.call('HMGET', destinations_key, unpack(names)), {}
    for i, field in ipairs(fields) do destination[field] = tonumber(values[i]) or 0 end
    -- After Redis' clock was set back any answer counts, and the next number may be tried now.
    if set_back_since(destination.slot) > 0 then destination.slot = 1 end
    if destination.next > now + LONGEST_NEXT_MS then destination.next = now end
    destinations[name] = destination
  end
  return destinations[name]
end

local function change_destination(name, changed)
  local destination = read_destination(name)
  for field, value in pairs(changed) do
    if value ~= destination[field] then
      destination[field] = value
      set_or_delete(destinations_key, name .. ':' .. field, value > 0 and value)
    end
  end
end

local function was_taken_lately(name)
  return read_destination(name).taken > now - LATELY_MS
end

local function is_closed(name)
  local destination = read_destination(name)
  return destination.since > 0 and now < destination.next + FORGET_MS
end

-- Whether a number of a closed destination may be tried now.
local function may_be_tried(name)
  return read_destination(name).next <= now
end

-- Notes that a number of a closed destination is being tried at this slot (ms).
local function claim_try(name, slot)
  local wait = read_destination(name).wait
  change_destination(name, {next = slot + wait, wait = math.min(2 * wait, LONGEST_TRY_MS)})
end

-- Notes that Plivo took a code with this slot (ms). That opens a destination that was refused at an earlier one.
local function note_taken(name, slot)
  local destination = read_destination(name)
  local changed = {taken = math.max(slot, destination.taken), strays = math.max(destination.strays - 1, 0)}
  if destination.slot > 0 and slot > destination.slot then
    if destination.since == 0 then changed.strays = math.min(destination.strays + STRAY, MOST_STRAYS) end
    changed.row, changed.slot, changed.since, changed.next, changed.wait = 0, 0, 0, 0, 0
  end
  change_destination(name, changed)
end

-- Notes that Plivo refused a number of the destination. Where codes were taken lately the number may be to blame alone,
-- and three in a row close the destination; then one more is tried at once.
local function note_refused(name, slot)
  local destination, is_ambiguous = read_destination(name), was_taken_lately(name)
  change_destination(name, {row = destination.row + 1, slot = math.max(slot, destination.slot)})
  if not is_closed(name) and (not is_ambiguous or destination.row >= REFUSED_IN_A_ROW + destination.strays) then
    local first_ms = is_ambiguous and 0 or FIRST_TRY_MS
    change_destination(name, {since = now, next = now + first_ms, wait = FIRST_TRY_MS + first_ms})
  end
end

-- Returns all destinations by name, each as a table of those of its fields that are set.
local function all_destinations()
  write_hash(destinations_key)
  local all, flat = {}, redis.call('HGETALL', destinations_key)
  for i = 1, #flat, 2 do
    local name, field = flat[i]:match('^(.+):(%l+)$')
    all[name] = all[name] or {}
    all[name][field] = tonumber(flat[i + 1])
  end
  return all
end

-- Returns the destination where Plivo took a code last, if it was lately; of these, one that was not refused since.
local function last_taken()
  local best, best_rank
  for name, destination in pairs(all_destinations()) do
    local taken = destination.taken or 0
    local rank = taken + (destination.slot and 0 or LATELY_MS)
    if taken > now - LATELY_MS and rank > (best_rank or 0) then best, best_rank = name, rank end
  end
  return best
end

local function add_waiting(record, number)
  redis.call('ZADD', waiting_key, 0, destination_of(record, number) .. (record.refused and '/1/' or '/0/') .. number)
end

-- Removes a number that waits for its destination. Does nothing if it does not.
local function remove_waiting(record, number)
  local name = destination_of(record, number)
  redis.call('ZREM', waiting_key, name .. '/0/' .. number, name .. '/1/' .. number)
end
