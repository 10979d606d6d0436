-- needs: clock, outbox, delivery
-- Removes the oldest events, and ends what nobody has wanted for long.
-- input:  KEYS    for each consumer with a place: its waiting events, their next tries, the events that were given up
--         ARGV    events that the outbox keeps at most; ms for which it keeps one; ms after which a consumer that gives
--                 no sign is forgotten; events to remove at most; the consumers, those with a place first
-- output: how many events were removed
local most, keep_ms, forget_ms, portion = unpack(ARGV, 3)
local names = {unpack(ARGV, 7)}

local function forget(i, name)
  for _, field in ipairs(redis.call('HKEYS', consumers_key)) do
    if field:find(field_of(name, ''), 1, true) == 1 then redis.call('HDEL', consumers_key, field) end
  end
  local own = {unpack(KEYS, 3 * i - 2, 3 * i)}
  if own[1] then redis.call('DEL', unpack(own)) end
end

local function is_behind(id, cursor)
  local ms, count = id:match('^(%d+)-(%d+)$')
  local cursor_ms, cursor_count = cursor:match('^(%d+)-(%d+)$')
  if ms ~= cursor_ms then return tonumber(ms) > tonumber(cursor_ms) end
  return tonumber(count) > tonumber(cursor_count)
end

for i, name in ipairs(names) do
  local seen = tonumber(redis.call('HGET', consumers_key, field_of(name, 'seen')) or nil)
  if seen and seen + forget_ms < now then forget(i, name) end
end
if redis.call('EXISTS', consumers_key) == 0 then return redis.call('DEL', outbox_key) end

local cursors = {}
for _, name in ipairs(names) do cursors[name] = redis.call('HGET', consumers_key, field_of(name, 'cursor')) or nil end
local length = redis.call('XLEN', outbox_key)
local removed, unread = 0, {}
for i, entry in ipairs(redis.call('XRANGE', outbox_key, '-', '+', 'COUNT', portion)) do
  if i > length - most and happened_at(entry[2][2]) + keep_ms > now then break end
  removed = i
  for name, cursor in pairs(cursors) do
    if is_behind(entry[1], cursor) then unread[name] = (unread[name] or 0) + 1 end
  end
end
if removed > 0 then redis.call('XTRIM', outbox_key, 'MAXLEN', '=', length - removed) end
for name, count in pairs(unread) do redis.call('HINCRBY', consumers_key, field_of(name, 'trimmed'), count) end
return removed
