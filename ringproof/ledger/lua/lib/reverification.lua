-- needs: arguments, clock, settings, changes, record, expiry
-- The schedule of re-verifications: a sorted set of numbers by their next date (ms). It is apart from the agenda.
-- In a record, `reverify_after` is the number's own period in days (0: never), `reverifies` marks a request that a
-- re-verification made, and `unanswered` counts such requests in a row whose code was not entered.
local MOST_UNANSWERED = 2
local renewals_key, lapsed_key = prefix .. ':renewals', prefix .. ':lapsed'

local function period_of(record)
  return record.reverify_after and tonumber(record.reverify_after) * DAY_MS or config.reverify_ms
end

-- Returns the number's next date (ms), or nil for a number without a period. The number's hash gives it a fixed offset
-- that repeats every half period; the next date is the last of these within one period after `base`. So it is between
-- half a period and one period away, the numbers of one day are spread over half a period, and from its second time on
-- a number comes at the same hour, one period apart.
local function next_due(record, number, base)
  local period = period_of(record)
  if period == 0 then return nil end
  local half = period / 2
  local offset = tonumber(redis.sha1hex(number):sub(1, 12), 16) % half
  return base + period - (base + period - offset) % half
end

local function unanswered_codes(record)
  return tonumber(record.unanswered) or 0
end

-- Whether a number whose request has failed or was cancelled may be asked again: its verification stands, or the
-- request was a re-verification, or one re-verification of the number was not answered.
local function may_ask_again(record)
  local unanswered = unanswered_codes(record)
  return is_verified(record) or record.reverifies ~= nil or unanswered > 0 and unanswered < MOST_UNANSWERED
end

-- Whether a re-verification may ask about a number when it is due. A lapsed number is only due if an operator asks.
local function can_reverify(record)
  if record.state == 'verified' then return true end
  if record.state == 'expired' then return record.reverifies ~= nil or is_verified(record) end
  return (record.state == 'failed' or record.state == 'cancelled') and may_ask_again(record)
end

-- Sets the moment (ms) at which the number is due; nil: never.
local function schedule_reverification(number, due_at)
  if due_at then
    redis.call('ZADD', renewals_key, due_at, number)
  else
    redis.call('ZREM', renewals_key, number)
  end
end

-- Moves a number to its next regular date. Without one, a record that is not verified is kept for `record_ms` only.
local function postpone(key, record, number)
  local due_at = next_due(record, number, now)
  schedule_reverification(number, due_at)
  if not due_at and not is_verified(record) then
    expire_record(key)
  end
end

-- Begins the schedule of a number again: it is verified now.
local function restart_schedule(key, record, number)
  drop(key, 'reverifies', 'unanswered', 'requested_by_person', 'claimed_until')
  redis.call('ZREM', lapsed_key, number)
  schedule_reverification(number, next_due(record, number, now))
end

-- Adapts the schedule to a record that goes to `state`, and returns the reason that the record gets: `reason`, or
-- lapsed.
--   A resend was not entered, and the verification stands: the number keeps its date. If a re-verification was not
--   answered before, try once more after `reverify_again_ms`.
--   Plivo no longer has the number: the caller has it verified again at once.
--   A code of a re-verification was not entered: try once more after `reverify_again_ms`, then mark as lapsed.
--   Any other code was not entered: take the number off the schedule.
--   A re-verification could not be sent: try after `reverify_again_ms`. Plivo refused it: wait for the regular date.
--   Another request has failed: the number keeps its date. If a re-verification was not answered before, try once
--   more after `reverify_again_ms`.
local function update_reverification(key, record, number, state, reason)
  if state == 'verified' then
    if unanswered_codes(record) > 0 then
      schedule_reverification(number, now + config.reverify_again_ms)
    elseif not redis.call('ZSCORE', renewals_key, number) then
      schedule_reverification(number, next_due(record, number, now))
    end
  elseif reason == 'removed' then
    return reason
  elseif state == 'expired' and not record.reverifies then
    schedule_reverification(number, nil)
  elseif state == 'expired' then
    local unanswered = unanswered_codes(record) + 1
    put(key, 'unanswered', unanswered)
    if unanswered >= MOST_UNANSWERED then
      redis.call('ZADD', lapsed_key, now, number)
      drop(key, 'requested_by_person')
      schedule_reverification(number, nil)
      return 'lapsed'
    end
    schedule_reverification(number, now + config.reverify_again_ms)
  elseif (state == 'failed' or state == 'cancelled') and may_ask_again(record) then
    local was_not_sent = record.reverifies and (reason == 'too_late' or reason == 'unreachable')
    if was_not_sent or not record.reverifies and unanswered_codes(record) > 0 then
      schedule_reverification(number, now + config.reverify_again_ms)
    elseif record.reverifies or not redis.call('ZSCORE', renewals_key, number) then
      schedule_reverification(number, next_due(record, number, now))
    end
  end
  return reason
end
