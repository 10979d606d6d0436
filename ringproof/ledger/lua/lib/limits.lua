-- needs: arguments, clock, settings, changes, record, people, breaker, transition, locks
-- The caps of a number: its codes a day, and its calls a week. lib/people has the caps of people's codes together.
-- A code is counted when begin claims the number, and is taken off the count if it was surely not sent.
-- A record's `codes` and `calls` are the times of its last ten codes and calls: seconds, in six base-36 digits each.
local WEEK_MS = 7 * DAY_MS

-- Returns when (ms) the cap of `most` codes in `span_ms` ends; 0 if there are fewer codes.
local function end_of_cap(times, most, span_ms)
  local place = #times - 6 * most + 1
  return place > 0 and tonumber(times:sub(place, place + 5), 36) * 1000 + span_ms or 0
end

-- Returns the cap that the number has reached, and until when (ms): of several, the one that lasts longest. Returns nil
-- if it has reached none. `asked` is a person's new request, for which the people's caps and the breaker count (nil:
-- none).
local function reached_cap(record, channel, asked, number)
  local cap, until_ms
  local function consider(name, ends_at)
    if ends_at > now and ends_at > (until_ms or 0) then cap, until_ms = name, ends_at end
  end
  consider('codes_per_day', end_of_cap(record.codes or '', config.max_codes_per_day, DAY_MS))
  if channel == 'call' then
    consider('calls_per_week', end_of_cap(record.calls or '', config.max_calls_per_week, WEEK_MS))
  end
  if asked then
    local caps = is_over_cap(number) and {} or people_caps(asked, number)
    read_counts(caps)
    for name, whom in pairs(caps) do consider(name, end_of_people_cap(name, whom)) end
    consider('breaker', end_of_breaker(record, asked, number))
  end
  return cap, until_ms
end

-- Returns when (ms) nothing counts any more of what the number has had: codes, calls, the cooldown, wrong codes.
local function end_of_counts(record)
  return math.max(
    end_of_cap(record.codes or '', 1, DAY_MS), end_of_cap(record.calls or '', 1, WEEK_MS),
    last_send_of(record) + config.cooldown_ms,
    record.wrong and milliseconds(record, 'wrong_at') + WRONG_CODES_COUNT_MS or 0)
end

-- Counts a refusal, by its cause, for `ringproof status`.
local function count_refusal(cause)
  redis.call('HINCRBY', refusals_key, cause, 1)
end

local function count_code(key, record)
  local fields = changes_of(key)
  fields.codes = string.sub((record.codes or '') .. second36(), -60)
  if record.channel == 'call' then fields.calls = string.sub((record.calls or '') .. second36(), -60) end
end

local function uncount_code(key, record)
  if record.test then return end
  set_or_delete(key, 'codes', (record.codes or ''):sub(1, -7))
  if record.channel == 'call' then set_or_delete(key, 'calls', (record.calls or ''):sub(1, -7)) end
end

-- Undoes an attempt that surely sent nothing: restores the previous `live_until` and the counts of the caps. With
-- `keep_attempt`, it still counts among the record's attempts.
local function undo_attempt(key, record, keep_attempt)
  set_or_delete(key, 'live_until', record.live_before)
  drop(key, 'live_before', 'lease_until')
  if not keep_attempt then put(key, 'attempts', (tonumber(record.attempts) or 0) - 1) end
  uncount_code(key, record)
end
