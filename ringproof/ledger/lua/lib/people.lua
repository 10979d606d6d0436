-- needs: arguments, clock, settings, changes, record, hmac, destinations
-- The caps on people's codes together: what strangers at a form can make the installation pay for.
-- A code counts from when its request is accepted: so requests of the same moment cannot pass a cap. It is taken off
-- the count if the request ends and surely no code was sent.
-- PREFIX:people:CAP:WHOM   who the cap is about -> codes in each part of the cap's time, as '5982301:3 5982304:1'. The
-- parts of a whole span, and the running one, count: no span of that length has more codes, wherever it begins.
-- PREFIX:people:countries  the countries (or first digits) that have counts
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

local countries_key = prefix .. ':people:countries'

local function counts_key(cap, whom)
  return prefix .. ':people:' .. cap .. ':' .. whom
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

-- Reads the counts of several caps at once. Returns them by cap: part -> codes.
local counts = {}
local function read_counts(caps)
  local keys, names = {}, {}
  for cap, whom in pairs(caps) do
    local key = counts_key(cap, whom)
    if not counts[key] then keys[#keys + 1], names[#names + 1] = key, key end
  end
  if not keys[1] then return end
  for i, text in ipairs(redis.call('MGET', unpack(keys))) do
    local parts = {}
    for part, codes in (text or ''):gmatch('(%d+):(%d+)') do parts[tonumber(part)] = tonumber(codes) end
    counts[names[i]] = parts
  end
end

local function counts_of(cap, whom)
  read_counts({[cap] = whom})
  return counts[counts_key(cap, whom)]
end

-- Writes the counts of a cap, without those that count no more. Redis keeps them for `...`, or as long as before.
local function write_counts_of_people(cap, whom, ...)
  local parts, oldest = {}, part_at(cap, now) - PEOPLE_CAPS[cap].parts
  for part, codes in pairs(counts_of(cap, whom)) do
    if part >= oldest and codes > 0 then parts[#parts + 1] = string.format('%d:%d', part, codes) end
  end
  redis.call('SET', counts_key(cap, whom), table.concat(parts, ' '), ...)
end

-- Returns when (ms) a cap ends that is reached; 0 if it is not.
local function end_of_people_cap(cap, whom)
  local left, parts = config[cap], PEOPLE_CAPS[cap].parts
  if left == 0 then return 0 end  -- this cap is off
  local newest, part_ms = part_at(cap, now)
  local codes = counts_of(cap, whom)
  for part = newest, newest - parts, -1 do
    left = left - (codes[part] or 0)
    if left <= 0 then return (part + parts + 1) * part_ms end
  end
  return 0
end

-- Counts the code of a person's request that is accepted now.
local function count_person(key, asked, number)
  put(key, 'counted_at', now)
  local caps = people_caps(asked, number)
  read_counts(caps)
  for cap, whom in pairs(caps) do
    local part, part_ms = part_at(cap, now)
    local codes = counts_of(cap, whom)
    if cap == 'country_codes_per_hour' and not codes[part] then
      redis.call('HSET', countries_key, whom, part)
      redis.call('PEXPIRE', countries_key, PEOPLE_CAPS[cap].span_ms + 2 * part_ms)
    end
    codes[part] = (codes[part] or 0) + 1
    write_counts_of_people(cap, whom, 'PX', PEOPLE_CAPS[cap].span_ms + 2 * part_ms)
  end
end

-- Takes the code of a person's request off the counts: no code was sent for it, and none will be.
local function uncount_person(key, record, number)
  if not record.counted_at then return end
  drop(key, 'counted_at')
  local caps = people_caps(record, number)
  read_counts(caps)
  for cap, whom in pairs(caps) do
    local codes, part = counts_of(cap, whom), part_at(cap, milliseconds(record, 'counted_at'))
    if (codes[part] or 0) > 0 then
      codes[part] = codes[part] - 1
      write_counts_of_people(cap, whom, 'KEEPTTL')
    end
  end
end

-- Returns how many codes a cap counts now.
local function codes_of_people(cap, whom)
  local codes, sum, newest = counts_of(cap, whom), 0, part_at(cap, now)
  for part = newest - PEOPLE_CAPS[cap].parts, newest do sum = sum + (codes[part] or 0) end
  return sum
end

-- Returns by how much (ms) a new code of a requester stands behind its deadline in the line: a step for each code that
-- the requester has got within the hour. So one with many numbers holds up no first number of another one.
local function step_back_ms(asked, number)
  read_counts(people_caps(asked, number))
  return codes_of_people('requester_codes_per_hour', asked.requester) * STEP_BACK_MS
end
