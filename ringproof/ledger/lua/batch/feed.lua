-- needs: clock, record, batch_state, batch_rows, tombstone, request
-- feed: accepts a page of a batch and moves its cursor, in one go.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin
--         KEYS[7] - the batch   KEYS[8] - the places of the list that are fed again   KEYS[9] - batches that are fed
--         ARGV[3] - the batch's name   ARGV[4] - the list, which is the channel
--         ARGV[5] - the roster's column of the table   ARGV[6] - ms until a request ends
--         ARGV[7] - '1' if these places are the first of KEYS[8]; else they are those from the cursor on
--         ARGV[8…] - of each row its place, number, country, until when (ms) its person sleeps (0: awake), how many
--                    arguments follow, and these: the request's other fields and values
-- output: of each row its disposition and request; nothing if the batch is not running, or others come next
local name, list, again = ARGV[3], ARGV[4], ARGV[7] == '1'
local cursor = 'cursor:' .. list
if batch_state(name) ~= 'running' then return {} end

local page, at = {}, 8
while ARGV[at] do
  local last = at + 4 + tonumber(ARGV[at + 4])
  page[#page + 1] = {place = ARGV[at], number = ARGV[at + 1], country = ARGV[at + 2],
    asleep_until = tonumber(ARGV[at + 3]), fields = {unpack(ARGV, at + 5, last)}}
  at = last + 1
end
if again then
  local places = redis.call('LRANGE', KEYS[8], 0, #page - 1)
  for i, row in ipairs(page) do
    if places[i] ~= row.place then return {} end
  end
elseif (redis.call('HGET', KEYS[7], cursor) or '0') ~= page[1].place then
  return {}
end

-- The first write is one that Redis refuses when it is out of memory.
if again then
  redis.call('HSET', KEYS[7], 'fed_at', now)
  redis.call('LTRIM', KEYS[8], #page, -1)
else
  redis.call('HSET', KEYS[7], 'fed_at', now, cursor, page[1].place + #page)
end
redis.call('ZADD', KEYS[9], 'XX', now_us, name)

-- A row that was erased, also since the page was read, has its country only.
local rows = batch_key(name, list)
local there = again and {} or redis.call('LRANGE', rows, page[1].place, page[#page].place)
local function is_erased(row, nth)
  local packed = there[nth] or redis.call('LINDEX', rows, row.place)
  return not packed:find('+', 1, true)
end

-- Another batch's request goes on for this one, should the other be paused or cancelled.
local function join(key, record)
  if not record.batch then return end
  set_or_delete(key, 'joined_by', joiners(record.batch, (record.joined_by or '') .. '/' .. name))
end

local answers_of = column(ARGV[5])
local created_at = tonumber(redis.call('HGET', KEYS[7], 'created_at'))
local function take(row)
  local key = ARGV[2] .. ':number:' .. row.number
  local record, flat = recall(key, row.number)
  row.column, row.lane, row.channel, row.row, row.ends_at = answers_of, 'bulk', list, true, now + tonumber(ARGV[6])
  row.from = math.floor(created_at / 1000)  -- is_row asks for it, also where a clock was put back
  local disposition, request, _, limit = consider(record, row.number, row)
  if disposition == 'accepted' then
    for _, part in ipairs({'batch', name, 'row', table.concat({list, row.place, row.country}, ':')}) do
      table.insert(row.fields, part)
    end
    take_in(key, record, flat, row.number, request, row)
  else
    if disposition == 'joined' then join(key, record) end
    move_row(name, list, row.place, row.country, limit ~= '' and disposition .. ':' .. limit or disposition)
  end
  return {disposition, request}
end

local answers = {}
for nth, row in ipairs(page) do
  if is_erased(row, nth) then
    move_row(name, list, row.place, row.country, 'erased')
    answers[nth] = {'erased', 0}
  else
    answers[nth] = take(row)
  end
end
return answers
