-- needs: arguments, clock
-- The line of the people whose slot is not near yet: one for texts, and one for calls. Nobody in it has a slot or a
-- turn. Who waits there is counted each time, so that the cancelled and the late leave no gap.
--   PREFIX:line:CHANNEL      the numbers that wait, by their place (ms): the deadline, so that the first to ask is
--                            first; or later, by `steps_back`, for a requester who has got other codes lately
--   PREFIX:called:CHANNEL    the numbers whose slot is near, in the order of these slots: they are to begin, and until
--                            this time (ms) they keep their place before those in the line
--   PREFIX:backlog:CHANNEL   all people who need a slot, by their place: also those whom no worker has begun
local PLACE_KEPT_MS = 1000        -- a number that has not begun keeps its place so long after its slot; then its worker
                                  -- has died
local LONGEST_PLACE_MS = 10000    -- a place that is kept for longer was given before Redis' clock was set back

local function line_key(channel)
  return prefix .. ':line:' .. channel
end

local function called_key(channel)
  return prefix .. ':called:' .. channel
end

local function backlog_key(channel)
  return prefix .. ':backlog:' .. channel
end

local function place_of(record, ends_at)
  return ends_at + (tonumber(record.steps_back) or 0)
end

local function join_backlog(number, channel, place)
  redis.call('ZADD', backlog_key(channel), place, number)
end

local function leave_backlog(number, channel)
  redis.call('ZREM', backlog_key(channel), number)
end

-- Returns how many people need a slot before one with this place (ms).
local function backlog_before(channel, place)
  return redis.call('ZCOUNT', backlog_key(channel), '(' .. now, place)
end

local function leave_line(number, channel)
  redis.call('ZREM', line_key(channel), number)
  redis.call('ZREM', called_key(channel), number)
end

local function stand_in_line(number, channel, place)
  leave_line(number, channel)
  redis.call('ZADD', line_key(channel), place, number)
end

-- Gives a number another place in the line and the backlog, where it has one.
local function change_place(number, channel, place)
  redis.call('ZADD', line_key(channel), 'XX', place, number)
  redis.call('ZADD', backlog_key(channel), 'XX', place, number)
end

-- Calls a number to begin, because its slot (µs) is near.
local function call_up(number, channel, slot)
  redis.call('ZREM', line_key(channel), number)
  redis.call('ZADD', called_key(channel), math.ceil(slot / 1000) + PLACE_KEPT_MS, number)
end

local function stands_in_line(number, channel)
  return redis.call('ZSCORE', line_key(channel), number) and true or false
end

local function count_called(channel)
  redis.call('ZREMRANGEBYSCORE', called_key(channel), '-inf', '(' .. now)
  redis.call('ZREMRANGEBYSCORE', called_key(channel), '(' .. now + LONGEST_PLACE_MS, '+inf')
  return redis.call('ZCARD', called_key(channel))
end

-- Returns how many people get a slot before this number.
local function people_ahead(channel, number, place)
  local called = count_called(channel)
  return redis.call('ZRANK', called_key(channel), number)
    or called + (redis.call('ZRANK', line_key(channel), number)
      or redis.call('ZCOUNT', line_key(channel), '-inf', place))
end
