-- needs: clock, outbox, delivery
-- Saves what has become of the events of a page.
-- input:  KEYS    the consumer's waiting events, their next tries, the events that were given up
--         ARGV    the consumer, the dispatcher's fence, the page as JSON: {
--                   cursor: the new one (none: it stays), failures: in a row by now, rest_ms: to leave the consumer
--                   alone at least, if it seems to be away, gone: the digest of its address, if it wants no more
--                   events, delivered: how many, trimmed: how many were not in the outbox any more,
--                   given_up: {{id, why} …}, subjects: {{subject, over: ids of its waiting events that are delivered or
--                   given up, tries and wait_ms of the first that is left (no wait_ms: both stay), behind: ids of
--                   events that wait from now on} …}
--                 }
-- output: 1; or 0 if the lease has passed to another dispatcher: then nothing is changed
local MOST_LISTED = 1000  -- events that were given up: an operator looks at the newest
local waiting_key, due_key, given_up_key = unpack(KEYS)
local name, fence, page = ARGV[3], ARGV[4], cjson.decode(ARGV[5])
local delivery = delivery_to(name)
if delivery.fence ~= fence then return 0 end

local function set_fields(...)
  local parts = {...}
  for i = 1, #parts, 2 do parts[i] = field_of(name, parts[i]) end
  redis.call('HSET', consumers_key, unpack(parts))
end

-- A number that was erased meanwhile has no events in the outbox any more, and stays erased.
local function append_known(ids, behind)
  for _, id in ipairs(behind) do
    if content_of(id) then ids[#ids + 1] = id end
  end
end

for _, one in ipairs(page.subjects) do
  local tries, ids = waiting_events(waiting_key, one.subject)
  for _, id in ipairs(one.over) do
    if ids[1] == id then table.remove(ids, 1) end
  end
  append_known(ids, one.behind)
  local due_at = one.wait_ms and now + one.wait_ms
  set_waiting(waiting_key, due_key, one.subject, due_at and one.tries or tries, ids, due_at)
end
for _, one in ipairs(page.given_up) do
  redis.call('LPUSH', given_up_key, table.concat({one[1], now, one[2]}, ' '))
  redis.call('LTRIM', given_up_key, 0, MOST_LISTED - 1)
  redis.call('HINCRBY', consumers_key, field_of(name, 'given_up'), 1)
end

set_fields('failures', page.failures, 'seen', now)
if page.cursor then set_fields('cursor', page.cursor) end
if page.gone then set_fields('gone', page.gone) end
if page.failures >= AWAY_AFTER then
  local rest_ms = math.min(math.max(rest_after(page.failures), page.rest_ms), LONGEST_AWAY_MS)
  set_fields('away_until', string.format('%.0f', now + rest_ms))
elseif seems_away(delivery) then
  redis.call('ZUNIONSTORE', due_key, 1, due_key, 'WEIGHTS', 0)  -- it is back: nothing waits any longer
end
for _, count in ipairs({'delivered', 'trimmed'}) do
  if page[count] > 0 then redis.call('HINCRBY', consumers_key, field_of(name, count), page[count]) end
end
return 1
