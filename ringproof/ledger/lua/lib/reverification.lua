-- needs: clock, settings, record
-- renewals: when a verified number is asked about again. They are a sorted set, number @ when in ms, apart from the agenda:
-- what is verified is at its end until then.
-- needs: now, facts, used   ARGV[2] - what all keys begin with: a record's change has its number alone
-- A record's `reverify_after` is its own period in days (0: never), `reverifies` tells that its request is one of these,
-- and `unanswered` how many codes of them got no answer, in a row.
local MOST_UNANSWERED = 2
local renewals_key, lapsed_key = ARGV[2] .. ':renewals', ARGV[2] .. ':lapsed'

local function period_of(record)
  return record.reverify_after and tonumber(record.reverify_after) * DAY_MS or facts.reverify_ms
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

-- Whether a request that came to nothing leaves a number to be asked about again: its verification stands, or it was
-- not answered once.
local function goes_on(record)
  local unanswered = tonumber(record.unanswered) or 0
  return used(record) or record.reverifies ~= nil or unanswered > 0 and unanswered < MOST_UNANSWERED
end

-- Whether a number is asked about again when its turn comes, or if a person wants it, which the lapsed wait for.
local function renewable(record)
  if record.state == 'verified' then return true end
  if record.state == 'expired' then return record.reverifies ~= nil end
  return (record.state == 'failed' or record.state == 'cancelled') and goes_on(record)
end

local function ask_again(number, when)
  if when then
    redis.call('ZADD', renewals_key, when, number)
  else
    redis.call('ZREM', renewals_key, number)
  end
end

-- It is not asked about before its next turn. If it has none, what does not stand is kept for some days only.
local function put_off(key, record, number)
  local when = falls_due(record, number, now)
  ask_again(number, when)
  if not when and record.state ~= 'verified' and not used(record) then redis.call('PEXPIRE', key, facts.record_ms) end
end

-- What a change of a record's state means for its renewal; returns the reason that the change has then. Who does not
-- answer is asked once more the next day, and then left alone, as is who had asked by themselves; what could not be asked
-- has another day, too, or where Plivo refused it waits for its next turn.
local function renew(key, record, number, state, reason)
  if state == 'verified' then
    redis.call('HDEL', key, 'reverifies', 'unanswered', 'by_hand', 'claimed_until')
    redis.call('SREM', lapsed_key, number)
    ask_again(number, falls_due(record, number, now))
  elseif state == 'expired' and not record.reverifies then
    ask_again(number, nil)
  elseif state == 'expired' then
    local unanswered = (tonumber(record.unanswered) or 0) + 1
    redis.call('HSET', key, 'unanswered', unanswered)
    if unanswered >= MOST_UNANSWERED then
      redis.call('SADD', lapsed_key, number)
      redis.call('HDEL', key, 'by_hand')
      ask_again(number, nil)
      return 'lapsed'
    end
    ask_again(number, now + facts.reverify_again_ms)
  elseif (state == 'failed' or state == 'cancelled') and goes_on(record) then
    local unasked = record.reverifies and (reason == 'too_late' or reason == 'unreachable')
    if unasked or not record.reverifies and not used(record) then
      ask_again(number, now + facts.reverify_again_ms)
    elseif record.reverifies or not redis.call('ZSCORE', renewals_key, number) then
      ask_again(number, falls_due(record, number, now))
    end
  end
  return reason
end
