-- needs: arguments, clock, settings, changes, record, hmac, destinations
-- The caps on people's codes together: what strangers at a form can make the installation pay for.
-- A code counts from when its request is accepted: so requests of the same moment cannot pass a cap. It is taken off
-- the count if the request ends and surely no code was sent.
-- PREFIX:people:CAP:PART   hash: who the cap is about -> codes in this part of the cap's time. The parts of a whole
-- span, and the running one, count: no span of that length has more codes, wherever it begins.
local HOUR_MS = DAY_MS / 24
local PEOPLE_CAPS = {
  range_codes_per_hour = {span_ms = HOUR_MS, parts = 12},
  country_codes_per_hour = {span_ms = HOUR_MS, parts = 12},
  people_codes_per_day = {span_ms = DAY_MS, parts = 24},
  requester_codes_per_hour = {span_ms = HOUR_MS, parts = 12},
  requester_codes_per_day = {span_ms = DAY_MS, parts = 24},
}
local REQUESTERS_KEPT_MS = 2 * DAY_MS  -- longer than any cap counts
local STEP_BACK_MS = 60000         -- a requester's next code stands in the line as if it were asked for a minute later

local function part_key(cap, part)
  return prefix .. ':people:' .. cap .. ':' .. part
end

-- Returns the part that has this time (ms), and how long (ms) a part is.
local function part_at(cap, at)
  local part_ms = PEOPLE_CAPS[cap].span_ms / PEOPLE_CAPS[cap].parts
  return math.floor(at / part_ms), part_ms
end

-- Returns the caps that count a person's code, and whom each is about. `asked` has the number's country, and the
-- requester (nil: none was named). A range has all numbers that differ in their last four digits only: an attacker who
-- earns by texts uses one after the other.
local function people_caps(asked, number)
  return {
    range_codes_per_hour = number:sub(1, -5),
    country_codes_per_hour = destination_of(asked, number),
    people_codes_per_day = 'all',
    requester_codes_per_hour = asked.requester,
    requester_codes_per_day = asked.requester,
  }
end

-- Returns the requester of a person's request: an HMAC of what the web app has named, such as a session or a user.
-- `random` becomes the HMAC's key if Redis has none. It is forgotten with the last requester.
local function requester_of(named, random)
  local secret_key = prefix .. ':requesters'
  redis.call('SET', secret_key, random, 'NX')
  redis.call('PEXPIRE', secret_key, REQUESTERS_KEPT_MS)
  return hmac(redis.call('GET', secret_key), named):sub(1, 16)
end

-- Returns when (ms) a cap ends that is reached; 0 if it is not.
local function end_of_people_cap(cap, whom)
  local left, parts = config[cap], PEOPLE_CAPS[cap].parts
  if left == 0 then return 0 end  -- this cap is off
  local newest, part_ms = part_at(cap, now)
  for part = newest, newest - parts, -1 do
    left = left - (tonumber(redis.call('HGET', part_key(cap, part), whom) or nil) or 0)
    if left <= 0 then return (part + parts + 1) * part_ms end
  end
  return 0
end

-- Counts the code of a person's request that is accepted now.
local function count_person(key, asked, number)
  put(key, 'counted_at', now)
  for cap, whom in pairs(people_caps(asked, number)) do
    local part, part_ms = part_at(cap, now)
    redis.call('HINCRBY', part_key(cap, part), whom, 1)
    redis.call('PEXPIRE', part_key(cap, part), PEOPLE_CAPS[cap].span_ms + 2 * part_ms)
  end
end

-- Takes the code of a person's request off the counts: no code was sent for it, and none will be.
local function uncount_person(key, record, number)
  if not record.counted_at then return end
  drop(key, 'counted_at')
  for cap, whom in pairs(people_caps(record, number)) do
    local counts = part_key(cap, (part_at(cap, milliseconds(record, 'counted_at'))))
    if (tonumber(redis.call('HGET', counts, whom) or nil) or 0) > 0 then redis.call('HINCRBY', counts, whom, -1) end
  end
end

-- Returns how many codes a cap counts now, for each whom it is about.
local function codes_of_people(cap)
  local codes, newest = {}, part_at(cap, now)
  for part = newest - PEOPLE_CAPS[cap].parts, newest do
    local flat = redis.call('HGETALL', part_key(cap, part))
    for i = 1, #flat, 2 do codes[flat[i]] = (codes[flat[i]] or 0) + tonumber(flat[i + 1]) end
  end
  return codes
end

-- Returns by how much (ms) a new code of this requester stands behind its deadline in the line: a step for each code
-- that the requester has got within the hour. So one with many numbers holds up no first number of another one.
local function step_back_ms(requester)
  local newest, codes = part_at('requester_codes_per_hour', now), 0
  for part = newest - PEOPLE_CAPS.requester_codes_per_hour.parts, newest do
    codes = codes + (tonumber(redis.call('HGET', part_key('requester_codes_per_hour', part), requester) or nil) or 0)
  end
  return codes * STEP_BACK_MS
end
