-- needs: clock, settings, record, batch_state, transition, limits, pace, pauses
-- begin: reserves a slot of the pace and claims, for each number that may be sent to now. What it claims is
-- `sending` before anybody has written a byte to Plivo.
-- input:  KEYS[1…6] - agenda, policy, limits, pace, pauses, refusals   KEYS[7…] - the numbers' records
--         ARGV[1] - facts   ARGV[2] - prefix
--         ARGV[3] - fence, random, the caller's token: asked again with it, what it claimed is told again, or taken
--                   back if it is not to be sent at its slot any more
--         ARGV[4] - ms that the caller waits for its turn
--         ARGV[5…] - for each record its number, its request, and before when (ms) its person sleeps (0: is awake)
-- output: now in µs, and for each record: verdict, a time in µs, the record's fields; the verdict is
--         begun (the slot), later (when to ask again), waiting (due_at), ended (0) or nothing (0: not its turn)
local fence = ARGV[3]
local CALL_HOLD_US = 1000000  -- as long as a tick: what waits longer comes back by the agenda
local next_turn  -- once one may not book yet, none of those behind it may

-- Claimed before by this fence: it goes back if it was booked under another pace, or if nobody is to be sent to.
local function still(key, record, number)
  local slot_us = (milliseconds(record, 'lease_until') - facts.lease_ms) * 1000
  local changed = milliseconds(record, 'updated_at') < (pace.changed or 0)
  if not changed and not is_held(record) and slot_us >= (pace.closed or 0) then return 'begun', slot_us end
  unsent(key, record, number, false)
  change(key, record, number, 'queued', '', math.min(now + facts.enqueue_again_ms, milliseconds(record, 'ends_at')))
  return 'later', now_us
end

local function claim(key, record, number, slot_us)
  local lease_until = math.ceil(slot_us / 1000) + facts.lease_ms
  redis.call('HSET', key, 'fence', fence, 'lease_until', lease_until, 'live_until', lease_until + facts.code_ms)
  set_or_delete(key, 'live_before', record.live_until)
  redis.call('HINCRBY', key, 'attempts', 1)
  redis.call('HDEL', key, 'due_at', 'detail')
  count(key, record, number)
  change(key, record, number, 'sending', '', lease_until)
  return lease_until
end

local function begin(key, number, request, asleep_until)
  local record = read(key)
  if record.request ~= request then return 'nothing', 0 end
  if record.state == 'sending' and record.fence == fence then return still(key, record, number) end
  if record.state ~= 'queued' then return 'nothing', 0 end
  local word = batch_word(record)
  if word == 'cancelled' then
    change(key, record, number, 'cancelled', '')
    return 'ended', 0
  elseif word == 'paused' then
    wait_out(key, record, number, now + BATCH_LOOK_MS, 'batch_paused')
    return 'waiting', (now + BATCH_LOOK_MS) * 1000
  end
  if next_turn then return 'later', next_turn end

  local ends_at, live_until = milliseconds(record, 'ends_at'), milliseconds(record, 'live_until')
  if ends_at <= math.max(now_us, pace.account) / 1000 then  -- its end comes before the next slot
    change(key, record, number, 'failed', 'too_late')
    return 'ended', 0
  end

  local function wait(reason, due_at, detail)
    redis.call('HSET', key, 'due_at', due_at, 'ends_at', ends_at)
    set_or_delete(key, 'detail', detail)
    change(key, record, number, 'waiting', reason, math.min(due_at, ends_at))
    return 'waiting', due_at * 1000
  end

  local not_before = live_until
  if record.resend then
    not_before = math.max(milliseconds(record, 'code_sent_at'), live_until - facts.code_ms) + facts.cooldown_ms
  end
  if not_before > now then return wait('cooldown', not_before) end

  local limit, until_ms = capped(record, number, record.lane, record.channel)
  if limit and (record.lane == 'interactive' or until_ms >= ends_at) then
    redis.call('HSET', key, 'due_at', until_ms, 'detail', limit)
    change(key, record, number, 'failed', 'capped')
    return 'ended', 0
  elseif limit then
    return wait('cap', until_ms, limit)
  end
  if asleep_until > now then
    ends_at = ends_at + asleep_until - now  -- a night is no time in which it could have been sent
    return wait('quiet_hours', asleep_until)
  end

  local held, at = gate(record.lane, number)
  if held == 'paused' then
    wait_out(key, record, number, at, 'paused')
    return 'waiting', at * 1000
  elseif held == 'later' then
    next_turn = at * 1000
    return 'later', next_turn
  end

  local patience_us = record.lane == 'interactive' and math.huge or tonumber(ARGV[4]) * 1000
  local slot_us, turn_us = book(record.lane, record.channel, patience_us)
  -- A person's text beyond the horizon waits, and so does a call whose turn is not soon: held in a child it would keep
  -- other persons out. What nobody waits for in front of a screen keeps its place in the queue.
  local hold_us = record.channel == 'call' and CALL_HOLD_US or 0
  if not slot_us and record.lane == 'interactive' and turn_us > now_us + hold_us then
    return wait('pace', math.ceil(turn_us / 1000))
  elseif not slot_us then
    next_turn = turn_us
    return 'later', next_turn
  end
  local lease_until = claim(key, record, number, slot_us)
  if held == 'first' then pause({probe = fence, probe_until = lease_until}) end
  return 'begun', slot_us
end

local answers = {now_us}
for i = 7, #KEYS do
  local at = 5 + 3 * (i - 7)
  local verdict, when = begin(KEYS[i], ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]))
  answers[#answers + 1] = {verdict, when, redis.call('HGETALL', KEYS[i])}
end
keep_pace()
return answers
