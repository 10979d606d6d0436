-- due: works off what is due on the agenda, oldest first. Each entry gets its transition and its next look in one go;
-- it leaves with a final state only.
-- input:  KEYS[1] - agenda   KEYS[2] - policy   KEYS[3…5] - Celery's queues of the lanes interactive, scheduled, bulk
--         ARGV[1] - entries at most
--         ARGV[2] - what a record's key begins with: the script finds the numbers itself, so they cannot be in KEYS
--         ARGV[3], [4] - ms until a queued number is enqueued again: the first time, and at most
--         ARGV[5] - messages that a lane's queue may hold; beyond it nothing is enqueued again
--         ARGV[6] - ms that a look-up may take     ARGV[7] - ms a final record is kept without a policy
-- output: for each entry: what was done, number, request, lane; what was done is
--         enqueue (send its message), held (its queue is long enough), too_late, doubted, expired,
--         look_up (ask Plivo whether the number is verified), kept (not due after all) or gone (no record)
local first_ms, longest_ms, bound = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local keep_ms = redis.call('HGET', KEYS[2], 'record_ms') or ARGV[7]
local queues = {interactive = KEYS[3], scheduled = KEYS[4], bulk = KEYS[5]}
local lengths = {}

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

local function work_off(key, record, number)
  local state, ends_at = record.state, milliseconds(record, 'ends_at')
  if (state == 'queued' or state == 'waiting') and ends_at <= now then
    change(key, record, KEYS[1], number, 'failed', 'too_late', nil, keep_ms)
    return 'too_late'
  elseif state == 'queued' then
    return enqueue_again(record, number, now - milliseconds(record, 'updated_at'))
  elseif state == 'waiting' then
    local due_at = milliseconds(record, 'due_at')
    if due_at > now then return keep(number, math.min(due_at, ends_at)) end
    redis.call('HDEL', key, 'due_at', 'detail')
    change(key, record, KEYS[1], number, 'queued', '', now)
    return enqueue_again(record, number, 0)
  elseif state == 'sending' then
    local lease_until = milliseconds(record, 'lease_until')
    if lease_until > now then return keep(number, lease_until) end
    change(key, record, KEYS[1], number, 'in_doubt', 'worker_lost', milliseconds(record, 'live_until'))
    return 'doubted'
  elseif state == 'code_sent' then
    local expires_at = milliseconds(record, 'expires_at')
    if expires_at > now then return keep(number, expires_at) end
    change(key, record, KEYS[1], number, 'expired', '', nil, keep_ms)
    return 'expired'
  elseif state == 'in_doubt' then
    local live_until = milliseconds(record, 'live_until')
    if live_until > now then return keep(number, live_until) end
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[6]), number)
    return 'look_up'
  end
  redis.call('ZREM', KEYS[1], number)
  return 'gone'
end

local done = {}
for _, number in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local key = ARGV[2] .. number
  local record = read(key)
  done[#done + 1] = {work_off(key, record, number), number, record.request or '0', record.lane or 'interactive'}
end
return done
