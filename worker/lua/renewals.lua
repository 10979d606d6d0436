-- renewals: when a verified number is asked about again. They are a sorted set, number @ when in ms, apart from the agenda:
-- what is verified is at its end until then.
-- needs: now, facts, used   ARGV[2] - what all keys begin with: a record's change has its number alone
-- A record's `reverify_after` is its own period in days (0: never), `reverifies` tells that its request is one of these,
-- and `unanswered` how many codes of them got no answer, in a row.
local DAY = 86400000
local MOST_UNANSWERED = 2
local renewals_key, lapsed_key = ARGV[2] .. ':renewals', ARGV[2] .. ':lapsed'

local function period_of(record)
  return record.reverify_after and tonumber(record.reverify_after) * DAY or facts.reverify_ms
end

-- The last of the number's own moments within the period after `base`. They lie half a period apart, where the number's
-- hash has put them: so it is never later than the period and never sooner than its half, numbers of one day are spread
-- over half a period, and from its second time on a number's turn comes at the same hour, a period apart.
local function falls_due(record, number, base)
  local period = period_of(record)
  if period == 0 then return nil end
  local half = period / 2
  local own = tonumber(redis.sha1hex(number):sub(1, 12), 16) % half
  return base + period - (base + period - own) % half
end

-- Whether a number is, or would be, verified but for this: its verification stands, or it was not answered once.
local function renewable(record)
  if record.state == 'verified' then return true end
  if record.state == 'expired' then return record.reverifies ~= nil end
  return (record.state == 'failed' or record.state == 'cancelled') and used(record)
end

local function ask_again(number, when)
  if when then
    redis.call('ZADD', renewals_key, when, number)
  else
    redis.call('ZREM', renewals_key, number)
  end
end

-- What a change of a record's state means for its renewal; returns the reason that the change has then. Who does not
-- answer is asked once more the next day, and then left alone; what could not be asked has another day, too, or where
-- Plivo refused it waits for its next turn.
local function renew(key, record, number, state, reason)
  if state == 'verified' then
    redis.call('HDEL', key, 'reverifies', 'unanswered', 'by_hand', 'claimed_until')
    redis.call('SREM', lapsed_key, number)
    ask_again(number, falls_due(record, number, now))
  elseif record.reverifies and state == 'expired' then
    local unanswered = (tonumber(record.unanswered) or 0) + 1
    redis.call('HSET', key, 'unanswered', unanswered)
    if unanswered >= MOST_UNANSWERED then
      redis.call('SADD', lapsed_key, number)
      ask_again(number, nil)
      return 'lapsed'
    end
    ask_again(number, now + facts.reverify_again_ms)
  elseif record.reverifies and state == 'failed' and reason == 'too_late' then
    ask_again(number, now + facts.reverify_again_ms)
  elseif (state == 'failed' or state == 'cancelled') and used(record) then
    if record.reverifies or not redis.call('ZSCORE', renewals_key, number) then
      ask_again(number, falls_due(record, number, now))
    end
  end
  return reason
end
