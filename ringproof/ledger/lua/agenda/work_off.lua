-- needs: clock, settings, record, batch_state, transition, pauses
-- due: works off what is due on the agenda, oldest first. Each entry gets its transition and its next look in one go;
-- it leaves with a final state only.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7…9] - Celery's queues of the lanes interactive, scheduled, bulk
--         ARGV[3] - entries at most
--         ARGV[4] - messages that a lane's queue may hold; beyond it nothing is enqueued again
-- output: for each entry: what was done, number, request, lane, channel; what was done is
--         enqueue (send its message), held (its queue is long enough, or nobody is to be sent to), too_late, cancelled
--         (its batch is), doubted, expired, look_up (ask Plivo whether the number is verified), list (its code is over,
--         and Plivo's list is to be read before it is expired), kept (not due after all) or gone (no record)
local first_ms, longest_ms, bound = facts.enqueue_again_ms, facts.enqueue_again_longest_ms, tonumber(ARGV[4])
local FIRST_LOOK_MS, LONGEST_LOOK_MS = 3000, 60000  -- how often it is seen whether the list was read
local queues = {interactive = KEYS[7], scheduled = KEYS[8], bulk = KEYS[9]}
local lengths = {}
local look_key = ARGV[2] .. ':reconcile'
local look = read(look_key)

local function room_in(lane)
  lengths[lane] = (lengths[lane] or redis.call('LLEN', queues[lane])) + 1
  return lengths[lane] <= bound
end

-- A message that nobody has taken by now is likely lost. Twice as long each time, as the time since the last change
-- says: 30 s, 1, 2, 4 … 10 minutes.
local function enqueue_again(record, number, since_ms)
  local wait_ms = math.min(math.max(since_ms, first_ms), longest_ms)
  redis.call('ZADD', KEYS[1], math.min(now + wait_ms, milliseconds(record, 'ends_at')), number)
  return room_in(record.lane) and 'enqueue' or 'held'
end

local function keep(number, when)
  redis.call('ZADD', KEYS[1], when, number)
  return 'kept'
end

-- Whether a code that is over may have been entered elsewhere, for all that is known: until Plivo's list was read. Where
-- that has failed for as long as a code lives, nobody waits for it any more; what it says later still counts.
local function await_look(number, expires_at)
  if milliseconds(look, 'looked') > expires_at then return false end
  if not look.wanted then
    look.wanted = now
    redis.call('HSET', look_key, 'wanted', now)
  end
  local wanted = milliseconds(look, 'wanted')
  if wanted + facts.look_longest_ms <= now then return false end
  redis.call('ZADD', KEYS[1], now + math.min(math.max(now - wanted, FIRST_LOOK_MS), LONGEST_LOOK_MS), number)
  return true
end

local function work_off(key, record, number)
  local state, ends_at = record.state, milliseconds(record, 'ends_at')
  local open = state == 'queued' or state == 'waiting'
  local word = open and batch_word(record)
  local paused_until = open and paused(record.lane)
  local reason = 'paused'
  if word == 'paused' then paused_until, reason = now + BATCH_LOOK_MS, 'batch_paused' end
  if word == 'cancelled' then
    redis.call('HDEL', key, 'due_at', 'detail')
    change(key, record, number, 'cancelled', '')
    return 'cancelled'
  elseif open and ends_at <= now and (record.lane == 'interactive' or not paused_until) then
    change(key, record, number, 'failed', record.reason == 'unreachable' and 'unreachable' or 'too_late')
    return 'too_late'
  elseif state == 'waiting' and milliseconds(record, 'due_at') > now then
    return keep(number, math.min(milliseconds(record, 'due_at'), ends_at))
  elseif paused_until then
    wait_out(key, record, number, paused_until, reason)
    return 'held'
  elseif state == 'queued' then
    return enqueue_again(record, number, now - milliseconds(record, 'updated_at'))
  elseif state == 'waiting' then
    redis.call('HDEL', key, 'due_at', 'detail')
    change(key, record, number, 'queued', '', now)
    return enqueue_again(record, number, 0)
  elseif state == 'sending' then
    local lease_until = milliseconds(record, 'lease_until')
    if lease_until > now then return keep(number, lease_until) end
    change(key, record, number, 'in_doubt', 'worker_lost', milliseconds(record, 'live_until'))
    return 'doubted'
  elseif state == 'code_sent' then
    local expires_at = milliseconds(record, 'expires_at')
    if expires_at > now then return keep(number, expires_at) end
    if await_look(number, expires_at) then return 'list' end
    change(key, record, number, 'expired', '')
    return 'expired'
  elseif state == 'in_doubt' then
    local live_until = milliseconds(record, 'live_until')
    if live_until > now then return keep(number, live_until) end
    redis.call('ZADD', KEYS[1], now + facts.look_up_ms, number)
    return 'look_up'
  end
  redis.call('ZREM', KEYS[1], number)
  return 'gone'
end

local done = {}
for _, number in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])) do
  local key = ARGV[2] .. ':number:' .. number
  local record = read(key)
  done[#done + 1] = {
    work_off(key, record, number), number, record.request or '0', record.lane or 'interactive', record.channel or '',
  }
end
return done
