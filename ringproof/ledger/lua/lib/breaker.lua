-- needs: arguments, clock, settings, changes, record, destinations
-- The breaker of a country: it opens if hardly any of the people who ask for codes there enter them. Then only numbers
-- that were verified before get codes that people ask for, and now and then another number, as a probe. The breaker
-- closes once some of the probes' codes are entered.
-- It judges a code of a person by its end: the code was entered, or it has died and Plivo's list was read since. A code
-- that another one has followed has no end of its own. Numbers that were verified before are not judged.
-- The hash of `breakers_key`, times in ms; D is a destination:
--   D:codes    the ends of the last codes, the newest last: 1 if it was entered, 0 if not. While open, the probes' only
--   D:since    since when the breaker is open
--   D:next     from when on the next probe may be sent
-- A record's `sample` says that its last code is to be judged, as a `code` or a `probe`. A request's `probe` is from
-- when on (ms) the next one may be sent.
local breakers_key = prefix .. ':breakers'
local BETWEEN_PROBES_MS = 360000     -- ten probes an hour: as much as an open breaker costs
local PROBES, LEAST_ENTERED = 10, 3  -- of so many last probes so many close it: one or two may be the attacker's own
local LEFT_ALONE_MS = DAY_MS         -- it is forgotten once nobody has asked for a probe for so long

local function read_breaker(name)
  local values = redis.call('HMGET', breakers_key, name .. ':codes', name .. ':since', name .. ':next')
  local breaker = {codes = values[1] or '', since = tonumber(values[2]) or 0, next = tonumber(values[3]) or 0}
  if breaker.next > now + BETWEEN_PROBES_MS then breaker.next = now end  -- Redis' clock was set back
  breaker.is_open = breaker.since > 0 and config.breaker_percent > 0 and now < breaker.next + LEFT_ALONE_MS
  return breaker
end

-- Returns when (ms) a number may get a code that a person asks for; 0: the breaker lets it through.
local function end_of_breaker(record, asked, number)
  local breaker = read_breaker(destination_of(asked, number))
  return breaker.is_open and not is_verified(record) and breaker.next or 0
end

-- Makes a person's request that is accepted now a probe if only probes get through.
local function note_probe(key, record, asked, number)
  local name = destination_of(asked, number)
  if is_verified(record) or not read_breaker(name).is_open then return end
  redis.call('HSET', breakers_key, name .. ':next', now + BETWEEN_PROBES_MS)
  put(key, 'probe', now + BETWEEN_PROBES_MS)
end

-- Lets the next probe be sent now, in place of one that has ended without a code. Another may have followed it.
local function give_probe_back(record, number)
  local name = destination_of(record, number)
  if record.probe and milliseconds(record, 'probe') == read_breaker(name).next then
    redis.call('HSET', breakers_key, name .. ':next', now)
  end
end

-- Notes whether the code that is sent now will be judged.
local function note_sample(key, record)
  local is_judged = record.lane == 'interactive' and not is_verified(record) and not record.test
  set_or_delete(key, 'sample', is_judged and (record.probe and 'probe' or 'code'))
end

local function count_entered(codes)
  return select(2, codes:gsub('1', ''))
end

-- Judges the last code of a number: it was entered, or it has died.
local function judge_code(key, record, number, was_entered)
  if not record.sample then return end
  drop(key, 'sample')
  local name = destination_of(record, number)
  local breaker = read_breaker(name)
  if breaker.is_open and record.sample ~= 'probe' then return end  -- it was sent before the breaker opened
  local codes = (breaker.since > 0 and not breaker.is_open and '' or breaker.codes) .. (was_entered and '1' or '0')
  if breaker.is_open then
    codes = codes:sub(-PROBES)
    local closes = count_entered(codes) >= math.max(LEAST_ENTERED, config.breaker_percent * PROBES / 100)
    if not closes then redis.call('HSET', breakers_key, name .. ':codes', codes) return end
    redis.call('HDEL', breakers_key, name .. ':codes', name .. ':since', name .. ':next')
    return
  end
  codes = codes:sub(-config.breaker_codes)
  local opens = #codes >= config.breaker_codes and count_entered(codes) * 100 < config.breaker_percent * #codes
  if opens then
    redis.call('HSET', breakers_key, name .. ':since', now, name .. ':next', now)
    redis.call('HDEL', breakers_key, name .. ':codes')
  else
    redis.call('HSET', breakers_key, name .. ':codes', codes)
    redis.call('HDEL', breakers_key, name .. ':since', name .. ':next')
  end
end
