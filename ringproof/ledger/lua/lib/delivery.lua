-- needs: clock, outbox
-- The delivery of events to a consumer. One dispatcher at a time has the consumer's lease. Its fields in the hash of
-- `consumers_key`, behind the consumer's name and ':', times in ms:
--   cursor             the id of the last entry that a dispatcher has taken; all before it are delivered, wait, or over
--   fence, lease_until the dispatcher that delivers, and how long nobody else may
--   failures           deliveries in a row that have failed
--   away_until         when the consumer is tried next, by one event, because it seems to be away
--   gone               the digest of the address that wants no more events (410)
--   delivered, given_up, trimmed   counts; what is trimmed went out of the outbox before the consumer got it
--   seen               the last sign of somebody who wants the events
-- Events that could not be delivered wait in a hash: subject -> failed tries of its first event, and the ids of its
-- events in their order. A subject is a number, or 'batch NAME'. No event overtakes an earlier one of its subject.
local AWAY_AFTER = 5                -- failures in a row: by then it is not about one event
local FIRST_AWAY_MS, LONGEST_AWAY_MS = 5000, 300000  -- so long after its return a consumer waits at most
local FIELDS_OF_DELIVERY = {'cursor', 'fence', 'lease_until', 'failures', 'away_until', 'gone'}

local function field_of(name, field)
  return name .. ':' .. field
end

local function delivery_to(name)
  local fields, delivery = {}, {}
  for i, field in ipairs(FIELDS_OF_DELIVERY) do fields[i] = field_of(name, field) end
  local values = redis.call('HMGET', consumers_key, unpack(fields))
  for i, field in ipairs(FIELDS_OF_DELIVERY) do delivery[field] = values[i] or nil end
  delivery.failures = tonumber(delivery.failures) or 0
  return delivery
end

-- Whether a moment is still to come. One that is further away than it may be is of a clock that was set back.
local function is_ahead(at, longest_ms)
  local left = (tonumber(at) or 0) - now
  return left > 0 and left <= longest_ms
end

local function seems_away(delivery)
  return delivery.failures >= AWAY_AFTER
end

-- Whether the consumer may get events now, from the dispatcher that has the lease.
local function may_get_events(delivery)
  return delivery.cursor and not delivery.gone and not is_ahead(delivery.away_until, LONGEST_AWAY_MS)
end

-- Returns how long (ms) to leave a consumer alone after so many failures in a row.
local function rest_after(failures)
  return math.min(FIRST_AWAY_MS * 2 ^ (failures - AWAY_AFTER), LONGEST_AWAY_MS)
end

-- Returns the failed tries and the ids of a subject's waiting events.
local function waiting_events(waiting_key, subject)
  local ids, tries = {}, nil
  for word in (redis.call('HGET', waiting_key, subject) or ''):gmatch('%S+') do
    if tries then ids[#ids + 1] = word else tries = tonumber(word) end
  end
  return tries or 0, ids
end

-- Has the events of a subject wait, in this order, until `due_at` (ms; nil: as before).
local function set_waiting(waiting_key, due_key, subject, tries, ids, due_at)
  if not ids[1] then
    redis.call('HDEL', waiting_key, subject)
    redis.call('ZREM', due_key, subject)
    return
  end
  redis.call('HSET', waiting_key, subject, tries .. ' ' .. table.concat(ids, ' '))
  if due_at then redis.call('ZADD', due_key, due_at, subject) else redis.call('ZADD', due_key, 'NX', now, subject) end
end

-- Returns the fields of an event in the outbox and their values, as a flat list; nil if it is not there any more.
local function content_of(id)
  local entry = redis.call('XRANGE', outbox_key, id, id)[1]
  return entry and entry[2]
end
