-- needs: arguments, country_list
-- The counts of the metrics, in the hash of `metrics_key`. The script that makes a change counts it, so that it is
-- counted once, whatever dies. A field is a name, a country ('-': the count has none), and other labels:
-- 'outcome US code_sent - sms bulk' -> 17. No count ever falls, unless somebody empties Redis.
local metrics_key = prefix .. ':metrics'
local MOST_FIELDS = 4000  -- some MB of Redis at most, and a scrape reads all of them
local counted = {}

local function add_metric(field, by)
  counted[field] = (counted[field] or 0) + by
end

-- Returns the label of a country. Numbers without one, such as a satellite's, are `other`.
local function country_label(country)
  return country and country:find('^%u%u$') and country or 'other'
end

-- Counts one of something that has a country.
local function count_by_country(name, country)
  add_metric(name .. ' ' .. country_label(country), 1)
end

-- Counts one of something that happens to a request. `labels` (nil: none) come before its channel and its lane.
local function count_of_request(name, record, labels)
  local channel, lane = record.channel or '-', record.lane or '-'
  if labels then channel = labels .. ' ' .. channel end
  add_metric(name .. ' ' .. country_label(record.country) .. ' ' .. channel .. ' ' .. lane, 1)
end

-- Whether a field that is new is not to be kept: its country gets no codes, or there are too many fields.
local function is_surplus(field)
  local country = field:match('^%S+ (%S+)')
  if country == '-' or country == 'other' then return false end
  return not is_on_list('all') and not is_on_list(country) or redis.pcall('HLEN', metrics_key) > MOST_FIELDS
end

-- Writes all counts. Each script that has this piece does so at its end, after all other writes. What Redis refuses
-- here is not counted, and ends no script: a result is worth more than its count.
local function write_metrics()
  for field, by in pairs(counted) do
    local is_new = redis.pcall('HINCRBY', metrics_key, field, by) == by
    if is_new and is_surplus(field) then
      redis.pcall('HDEL', metrics_key, field)
      redis.pcall('HINCRBY', metrics_key, (field:gsub('^(%S+) %S+', '%1 other')), by)
    end
  end
end
