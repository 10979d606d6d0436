-- needs: clock, outbox, delivery
-- Takes a consumer's lease, or renews it, and returns the next events to deliver. Nothing moves: if the dispatcher
-- dies, the next one gets the same events.
-- input:  KEYS    the consumer's waiting events, their next tries
--         ARGV    the consumer; the fence: random, the dispatcher's; ms of the lease; entries and subjects at most
-- output: 0 if the consumer may get no events now, or another dispatcher has the lease; or
--         now in ms; deliveries in a row that have failed; how many mean that the consumer is away;
--         the subjects that are due, each {subject, failed tries, {id, fields (none: trimmed), id, fields …}};
--         the entries behind the cursor, each {id, fields, subject, 1 if it waits behind earlier events of its subject}
--         Fields are a flat list of names and values.
local waiting_key, due_key = unpack(KEYS)
local name, fence, lease_ms, most = unpack(ARGV, 3)
local MOST_OF_ONE = 10  -- events of one subject: they are delivered one after the other

local function subject_of(text)
  local number, batch = text:match('^%S+ %S+ (%S+) %S+ %S+ %S+ %S+ %S+ %S+ (.+)$')
  if not number then return text:match('^%S+ %S+ (%+%d+)') or 'batch -' end  -- only a newer version can read it
  return number ~= '-' and number or 'batch ' .. batch
end

local delivery = delivery_to(name)
if not may_get_events(delivery) then return 0 end
if delivery.fence ~= fence and is_ahead(delivery.lease_until, tonumber(lease_ms)) then return 0 end
redis.call('HSET', consumers_key, field_of(name, 'fence'), fence, field_of(name, 'lease_until'), now + lease_ms)

-- A consumer that seems to be away is tried by one event: by a new one, because an old one may be what it refuses.
local is_probe = seems_away(delivery)
local new = redis.call('XRANGE', outbox_key, '(' .. delivery.cursor, '+', 'COUNT', is_probe and 1 or most)
local subjects = {}
if not is_probe then
  subjects = redis.call('ZRANGEBYSCORE', due_key, '-inf', now, 'LIMIT', 0, most)
elseif not new[1] then
  subjects = redis.call('ZRANGE', due_key, 0, 0)
end

local waiting, entries = {}, {}
for i, subject in ipairs(subjects) do
  local tries, ids = waiting_events(waiting_key, subject)
  local events = {}
  for n = 1, math.min(#ids, is_probe and 1 or MOST_OF_ONE) do
    events[2 * n - 1], events[2 * n] = ids[n], content_of(ids[n]) or {}
  end
  waiting[i] = {subject, tries, events}
end
for i, entry in ipairs(new) do
  local subject = subject_of(entry[2][2])
  entries[i] = {entry[1], entry[2], subject, redis.call('HEXISTS', waiting_key, subject)}
end
return {now, delivery.failures, AWAY_AFTER, waiting, entries}
