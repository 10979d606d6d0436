-- needs: clock, outbox, delivery
-- Finds the consumers for which a dispatcher has something to do now.
-- input:  KEYS    for each consumer the next tries of its waiting events
--         ARGV    ms of a dispatcher's lease; the consumers
-- output: their names
local lease_ms, due = tonumber(ARGV[3]), {}

local function has_work(delivery, due_key)
  if redis.call('XRANGE', outbox_key, '(' .. delivery.cursor, '+', 'COUNT', 1)[1] then return true end
  local first = redis.call('ZRANGE', due_key, 0, 0, 'WITHSCORES')
  return first[1] and (seems_away(delivery) or tonumber(first[2]) <= now)
end

for i, due_key in ipairs(KEYS) do
  local name = ARGV[i + 3]
  local delivery = delivery_to(name)
  if may_get_events(delivery) and not is_ahead(delivery.lease_until, lease_ms) and has_work(delivery, due_key) then
    due[#due + 1] = name
  end
end
return due
