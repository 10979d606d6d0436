-- needs: arguments, clock, states, settings, set_back, changes, damage, record, batch_state, transition, destinations, breaker, line, turns, pauses, words, schema
-- Works off the entries of the agenda that are due, oldest first. Each entry gets its transition and its next moment in
-- one go. Only a final state takes a number off the agenda.
-- input:  KEYS    Celery's queues of the lanes interactive, scheduled and bulk
--         ARGV    entries at most; messages that a lane's queue may hold: beyond it nothing is enqueued again
-- output: for each entry: the action, number, request, lane, channel, and the record's state and reason now, its batch
--         and its row ('': none). The action is enqueue (send its message), held
--         (it is paused, or its queue is long enough), too_late, refused (it failed: Plivo refuses its destination),
--         cancelled (its batch is), doubted, expired, look_up (ask Plivo whether the number is verified), undecided (no
--         look-up has ended the doubt within a day: it has failed), list (its code has died: read Plivo's list before
--         it can expire), kept (not due after all), newer (it is left to a newer version, and looked at again later),
--         damaged (its record, which is looked at again in minutes) or gone (there is no record)
local interactive_queue, scheduled_queue, bulk_queue = unpack(KEYS)
local most_entries, longest_queue = ARGV[3], tonumber(ARGV[4])
local first_ms, longest_ms = config.enqueue_again_ms, config.enqueue_again_longest_ms
local FIRST_LOOK_MS, LONGEST_LOOK_MS = 3000, 60000  -- how often an entry looks whether the scan has finished

local queues = {interactive = interactive_queue, scheduled = scheduled_queue, bulk = bulk_queue}
local lengths = {}
local scan_key = prefix .. ':reconcile'
local scan = read(scan_key)
for _, field in ipairs({'wanted', 'looked'}) do
  if set_back_since(milliseconds(scan, field)) > 0 then scan[field] = nil end
end

local function queue_has_room(lane)
  lengths[lane] = (lengths[lane] or redis.call('LLEN', queues[lane])) + 1
  return lengths[lane] <= longest_queue
end

-- No worker has taken the message so far, so it is probably lost. The wait before the next one doubles, because it
-- equals the time since the last change: 10, 20, 40 s … 10 minutes.
local function enqueue_again(record, number, since_ms)
  local wait_ms = math.min(math.max(since_ms, first_ms), longest_ms)
  set_agenda(number, math.min(now + wait_ms, milliseconds(record, 'ends_at')))
  return queue_has_room(record.lane) and 'enqueue' or 'held'
end

-- A newer version has written the record, or runs its batch: only a newer worker can go on. The looks become rarer, so
-- that many such numbers cost little, if there is no newer worker any more.
local function leave_to_newer(record, number)
  set_agenda(number, now + math.min(math.max(now - milliseconds(record, 'updated_at'), first_ms), longest_ms))
  return 'newer'
end

local function keep(number, agenda_at)
  set_agenda(number, agenda_at)
  return 'kept'
end

-- Whether a number whose code has died has to wait for a scan of Plivo's list: its user may have entered the code
-- elsewhere. If no scan succeeds within `look_longest_ms`, the number expires. A later scan can still verify it.
local function await_scan(number, expires_at)
  if milliseconds(scan, 'looked') > expires_at then return false end
  if not scan.wanted then
    scan.wanted = now
    redis.call('HSET', scan_key, 'wanted', now)
  end
  local wanted_at = milliseconds(scan, 'wanted')
  if wanted_at + config.look_longest_ms <= now then return false end
  set_agenda(number, now + math.min(math.max(now - wanted_at, FIRST_LOOK_MS), LONGEST_LOOK_MS))
  return true
end

-- Has Plivo asked about a doubt, at intervals that grow like those of `enqueue_again`. Plivo may never answer the
-- look-up, or refuse it for good, so the doubt ends after a day. `look_ups_from` is when the first look-up was due.
local function look_up(key, record, number)
  local from = tonumber(record.look_ups_from) or now
  if not record.look_ups_from then put(key, 'look_ups_from', from) end
  if now - from >= config.look_up_longest_ms then
    set_state(key, record, number, 'failed', 'in_doubt')
    return 'undecided'
  end
  local wait_ms = math.min(math.max(now - from, config.look_up_ms), longest_ms)
  set_agenda(number, now + wait_ms)
  return queue_has_room(record.lane) and 'look_up' or 'held'
end

-- Returns why a request fails at its deadline. It may have waited because Plivo refuses the whole account: that does
-- not forbid its destination.
local function reason_of_end(record)
  if record.reason == 'unreachable' then return 'unreachable' end
  return record.reason == 'refused' and not pauses.account and 'forbidden' or 'too_late'
end

-- Plivo has refused this number, although it took codes of its destination lately, and a moment has passed. Other
-- numbers have shown by now if it was the account, or the whole destination; then the number waits for that to end.
local function judge_suspect(key, record, number)
  local is_persons = record.lane == 'interactive'
  if pauses.account or is_closed(destination_of(record, number)) and not is_persons then
    wait_for_destination(key, record, number)
    return 'held'
  end
  drop(key, 'due_at')
  set_state(key, record, number, 'failed', 'forbidden')
  return 'refused'
end

-- Handles a request that has not begun: queued or waiting.
local function work_off_unbegun(key, record, number)
  local ends_at = milliseconds(record, 'ends_at')
  local applies = batch_state_for(record)
  local hold_ms, hold_reason = paused_until(record.lane, record.request), 'paused'
  if applies == 'paused' then hold_ms, hold_reason = now + BATCH_LOOK_MS, 'batch_paused' end
  if applies == 'newer' then return leave_to_newer(record, number) end
  if applies == 'cancelled' then
    drop(key, 'due_at', 'detail')
    set_state(key, record, number, 'cancelled', '')
    return 'cancelled'
  elseif ends_at <= now and (record.lane == 'interactive' or not hold_ms) then
    set_state(key, record, number, 'failed', reason_of_end(record))
    return 'too_late'
  elseif record.state == 'waiting' and milliseconds(record, 'due_at') > now then
    return keep(number, math.min(milliseconds(record, 'due_at'), ends_at))
  elseif record.reason == 'pace' and stands_in_line(number, record.channel) and not hold_ms then
    -- Its turn is later than it was: others of the line have asked before, or the pace has become slower.
    local _, turn = slot_of_person(record.channel, people_ahead(record.channel, number, place_of(record, ends_at)))
    local due_at = math.min(math.max(math.ceil(turn / 1000), now + LOOK_MS[record.lane]), ends_at)
    put(key, 'due_at', due_at)
    return keep(number, due_at)
  elseif record.reason == 'refused' and ends_at > now then
    return judge_suspect(key, record, number)
  elseif hold_ms then
    hold_until(key, record, number, hold_ms, hold_reason)
    return 'held'
  elseif record.state == 'queued' then
    return enqueue_again(record, number, now - milliseconds(record, 'updated_at'))
  end
  drop(key, 'due_at', 'detail')
  set_state(key, record, number, 'queued', '', now)
  return enqueue_again(record, number, 0)
end

-- Calls up the people whose slot is near, in the order of the line: they are due at once.
local function call_up_people(channel)
  local others = count_called(channel)
  for _, number in ipairs(redis.call('ZRANGE', line_key(channel), 0, most_entries - 1)) do
    local slot, turn = slot_of_person(channel, others)
    if turn > now_us then break end
    local key = key_of_record(number)
    -- read() moves its times first, if Redis' clock has jumped.
    local record = unless_damaged(key, function() return read(key) end)
    if not record then
      leave_line(number, channel)
      set_agenda(number, now)
    elseif not is_newer(record) then
      call_up(number, channel, slot)
      put(key, 'due_at', now)
      others = others + 1
      set_agenda(number, now)
    end
  end
end

local function work_off(key, record, number)
  local state = record.state
  if is_newer(record) then return leave_to_newer(record, number) end
  if UNBEGUN[state] then
    return work_off_unbegun(key, record, number)
  elseif state == 'sending' then
    local lease_until = milliseconds(record, 'lease_until')
    if lease_until > now then return keep(number, lease_until) end
    set_state(key, record, number, 'in_doubt', 'worker_lost', milliseconds(record, 'live_until'))
    return 'doubted'
  elseif state == 'code_sent' then
    local expires_at = milliseconds(record, 'expires_at')
    if expires_at > now then return keep(number, expires_at) end
    if await_scan(number, expires_at) then return 'list' end
    if milliseconds(scan, 'looked') > expires_at then judge_code(key, record, number, false) end
    -- A resend that nobody answers does not end a verification. A re-verification may.
    local stands = is_verified(record) and not record.reverifies
    set_state(key, record, number, stands and 'verified' or 'expired', '', nil, 'expired')
    return 'expired'
  elseif state == 'in_doubt' then
    local live_until = milliseconds(record, 'live_until')
    if live_until > now then return keep(number, live_until) end
    return look_up(key, record, number)
  end
  set_agenda(number, nil)
  return 'gone'
end

for _, channel in ipairs({'sms', 'call'}) do call_up_people(channel) end
write_agenda()

-- Whether a record has what the answer tells of it, and a state that there is.
local function is_whole(record)
  if is_newer(record) then return true end
  local is_known = UNFINISHED[record.state] or FINAL[record.state] or record.state == 'code_sent'
  return is_known and tonumber(record.request) and queues[record.lane]
end

local results = {}
for _, number in ipairs(redis.call('ZRANGEBYSCORE', agenda_key, '-inf', now, 'LIMIT', 0, most_entries)) do
  local key = key_of_record(number)
  local result = unless_damaged(key, function()
    local record = read(key)
    if record.state and not is_whole(record) then return nil end
    local action = work_off(key, record, number)
    local state, reason = state_now(key, record)
    return {
      action, number, tonumber(record.request) and record.request or '0',
      KNOWN_LANES[record.lane] and record.lane or 'interactive', record.channel or '',
      state, reason, record.batch or '', record.row or '',
    }
  end)
  if not result then
    set_agenda(number, now + longest_ms)
    result = {'damaged', number, '0', 'interactive', '', '', '', '', ''}
  end
  results[#results + 1] = result
end
return results
