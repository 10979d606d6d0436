-- needs: clock, settings, record, transition
-- caps: how many codes a number gets a day, how many calls a week, and how many codes a range of numbers an hour.
-- Codes are counted when they are begun; what was surely not sent is counted back.
-- needs: now, facts, stamp   KEYS[6] - how often each limit has refused
--        ARGV[2] - what all keys begin with: a range's counter is found by the number, so it cannot be in KEYS
-- A record's `codes` and `calls` are the seconds of the last ten, in six base-36 digits each.
local WEEK_MS, HOUR_MS = 7 * DAY_MS, DAY_MS / 24

-- A number without its last four digits: whoever pumps texts has one after the other of a range.
local function range_of(number)
  return ARGV[2] .. ':range:' .. number:sub(1, -5)
end

local function nth_last(times, most, span_ms)
  local place = #times - 6 * most + 1
  return place > 0 and tonumber(times:sub(place, place + 5), 36) * 1000 + span_ms or 0
end

-- Which limit keeps this number from a code, and until when (ms); nil if none does.
local function capped(record, number, lane, channel)
  local found, until_ms
  local function look(limit, ends)
    if ends > now and ends > (until_ms or 0) then found, until_ms = limit, ends end
  end
  look('codes_per_day', nth_last(record.codes or '', facts.max_codes_per_day, DAY_MS))
  if channel == 'call' then look('calls_per_week', nth_last(record.calls or '', facts.max_calls_per_week, WEEK_MS)) end
  if lane == 'interactive' and facts.range_codes_per_hour > 0 then
    local key = range_of(number)
    if (tonumber(redis.call('GET', key)) or 0) >= facts.range_codes_per_hour then
      look('range_codes_per_hour', now + redis.call('PTTL', key))
    end
  end
  if found then redis.call('HINCRBY', KEYS[6], found, 1) end
  return found, until_ms
end

local function count(key, record, number)
  for _, field in ipairs(record.channel == 'call' and {'codes', 'calls'} or {'codes'}) do
    redis.call('HSET', key, field, string.sub((record[field] or '') .. stamp(), -60))
  end
  if record.lane == 'interactive' and facts.range_codes_per_hour > 0 then
    if redis.call('INCR', range_of(number)) == 1 then redis.call('PEXPIRE', range_of(number), HOUR_MS) end
  end
end

local function count_back(key, record, number)
  for _, field in ipairs(record.channel == 'call' and {'codes', 'calls'} or {'codes'}) do
    set_or_delete(key, field, (record[field] or ''):sub(1, -7))
  end
  if record.lane == 'interactive' and (tonumber(redis.call('GET', range_of(number))) or 0) > 0 then
    redis.call('DECR', range_of(number))
  end
end

-- What lived before an attempt that surely sent nothing lives on; `counted`: it was an attempt nevertheless.
local function unsent(key, record, number, counted)
  set_or_delete(key, 'live_until', record.live_before)
  redis.call('HDEL', key, 'live_before', 'lease_until')
  if not counted then redis.call('HINCRBY', key, 'attempts', -1) end
  count_back(key, record, number)
end
