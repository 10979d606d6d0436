-- needs: clock, settings, changes, record, batch_state, transition, destinations, limits, countries, pace, line, turns, pauses, schema, generation, gate, test_numbers
-- Reserves a slot for each number that may be sent to now, and claims the number. A claimed record is `sending` before
-- any byte goes to Plivo.
-- input:  KEYS    the numbers' records
--         ARGV    the fence: random, the caller's token. A call with the same fence again gets the same answer, or has
--                 the claim taken back if the slot was revoked;
--                 ms for which the caller waits for its turn; how far the caller is, and how long it needs until it can
--                 send (µs, see lib/pace); what it has seen of Redis: 'ID COUNTER' ('': nothing), and its id as a
--                 member ('': it remembers no sends), see lib/generation;
--                 and for each record its number, its request, and until when (ms) its quiet hours last (0: day)
-- output: now in µs; what to remember of Redis, and whether it may have gone back ('closed'): then nothing is begun;
--         and for each record: verdict, a time in µs, and fields of the record. The verdict is begun (the
--         slot; the fields that its sender needs), later (when to ask again; no fields), elsewhere (0: it stays queued
--         for a worker whose credentials Plivo knows; no fields), waiting (due_at), ended (0) or nothing (0: there is
--         no such request to begin), with all fields
local fence, patience_ms, reach, lead, seen, member = unpack(ARGV, 3)
local patience_us = tonumber(patience_ms) * 1000
local GATE_LOOK_US = 300000  -- while the gate is closed, callers ask again so often
local PASSED_US = 5000000  -- a claim whose slot has passed so long ago is taken back
local SENT_WITH = {  -- what a sender needs of a record, beside the alias
  'state', 'request', 'lane', 'channel', 'subaccount', 'country', 'resend', 'attempts', 'lease_until', 'live_until',
  'ends_at', 'trace',
  'batch', 'row', 'again', 'reverifies', 'reverify_after', 'personal',  -- for a report to an older Redis
  'test',
}
local later_us  -- once one number gets `later`, all numbers behind it do
local is_gate_shut = not is_whole(seen, member) and is_gate_closed(seen)
if is_gate_shut then later_us = now_us + GATE_LOOK_US end

-- This fence has claimed the number before. The claim is taken back if its slot was revoked: by other rates, by a
-- 429, or because the number is on hold, or Redis may have gone back. It is also taken back if the slot has passed
-- long ago: the caller was frozen, or Redis' clock has jumped ahead, and others may have got the slots of this moment.
local function recheck_claim(key, record, number)
  local slot_us = slot_of(record) * 1000
  local is_good = record.state == 'sending' and slot_us + PASSED_US >= now_us
  if is_good and not is_gate_shut and not is_on_hold(record) and not is_revoked(slot_us, record.channel) then
    return 'begun', slot_us
  end
  end_probe(fence)
  undo_attempt(key, record, false)
  -- It had its slot before its deadline, so it gets another one.
  local ends_at = math.max(milliseconds(record, 'ends_at'), now + config.enqueue_again_ms)
  put(key, 'ends_at', ends_at)
  set_state(key, record, number, 'queued', '', now + config.enqueue_again_ms)
  return 'later', now_us
end

local function claim(key, record, number, slot_us, is_test)
  local lease_until = math.ceil(slot_us / 1000) + config.lease_ms
  local fields = changes_of(key)
  fields.fence, fields.lease_until, fields.live_until = fence, lease_until, lease_until + config.code_ms
  fields.attempts = (tonumber(record.attempts) or 0) + 1
  set_or_delete(key, 'live_before', record.live_until)
  drop(key, 'due_at', 'detail')
  record.test = is_test and '1' or nil
  set_or_delete(key, 'test', record.test)
  if not is_test then count_code(key, record) end
  set_state(key, record, number, 'sending', '', lease_until)
  return lease_until
end

-- Returns what the sender of a claimed number needs of its record.
local function fields_for_sender(key, record)
  local flat = changed_fields(key, record, SENT_WITH)
  local alias, nth = 'alias', 0
  while record[alias] do
    flat[#flat + 1], flat[#flat + 2] = alias, record[alias]
    nth = nth + 1
    alias = 'alias' .. nth
  end
  return flat
end

-- Returns the verdict, its time, and the record as it was read.
local function begin(key, number, request, asleep_until)
  local record = read(key)
  if is_newer(record) then return 'nothing', 0 end
  -- While Redis may have gone back, it may not know this request yet: the caller keeps it.
  if record.request ~= request then return is_gate_shut and 'later' or 'nothing', later_us or 0 end
  local is_lost = record.state == 'in_doubt' and record.reason == 'worker_lost'  -- its lease has ended meanwhile
  if record.fence == fence and (record.state == 'sending' or is_lost) then
    local verdict, at_us = recheck_claim(key, record, number)
    return verdict, at_us, record
  end
  if is_gate_shut then return 'later', later_us end
  if record.state ~= 'queued' then return 'nothing', 0 end
  if leaves_work() then return 'elsewhere', 0 end
  local applies = batch_state_for(record)
  if applies == 'newer' then return 'nothing', 0 end
  if applies == 'cancelled' then
    set_state(key, record, number, 'cancelled', '')
    return 'ended', 0
  elseif applies == 'paused' then
    hold_until(key, record, number, now + BATCH_LOOK_MS, 'batch_paused')
    return 'waiting', (now + BATCH_LOOK_MS) * 1000
  end
  -- The list of countries may be shorter than it was when the request was accepted.
  local left_out = left_out_as(number, record.country or '', record.personal)
  if left_out and not is_test_number(number) then
    count_refusal('countries')
    put(key, 'detail', left_out)
    set_state(key, record, number, 'failed', 'country')
    return 'ended', 0
  end
  if later_us and not is_test_number(number) then return 'later', later_us end

  local ends_at, live_until = milliseconds(record, 'ends_at'), milliseconds(record, 'live_until')
  local next_us = math.max(now_us, pace.account)
  local is_test = is_test_number(number)  -- the pace has been read by now, and this with it
  if ends_at <= (is_test and now_us or next_us) / 1000 then  -- the deadline comes before the next slot
    set_state(key, record, number, 'failed', 'too_late')
    return 'ended', 0
  end

  local function wait(reason, due_at, detail)
    put(key, 'due_at', due_at, 'ends_at', ends_at)
    set_or_delete(key, 'detail', detail)
    set_state(key, record, number, 'waiting', reason, math.min(due_at, ends_at))
    return 'waiting', due_at * 1000
  end

  local not_before = live_until
  if record.resend then not_before = last_send_of(record) + config.cooldown_ms end
  if not_before > now then return wait('cooldown', not_before) end

  local cap, until_ms
  if not is_test then cap, until_ms = reached_cap(record, record.channel) end
  if cap then count_refusal(cap) end
  if cap and (record.lane == 'interactive' or until_ms >= ends_at) then
    put(key, 'due_at', until_ms, 'detail', cap)
    set_state(key, record, number, 'failed', 'capped')
    return 'ended', 0
  elseif cap then
    return wait('cap', until_ms, cap)
  end
  if asleep_until > now then
    ends_at = ends_at + asleep_until - now  -- no worker may send in quiet hours, so they do not count
    return wait('quiet_hours', asleep_until)
  end

  if is_test then  -- no pause holds what asks Plivo nothing, and it is no probe
    claim(key, record, number, now_us, true)
    return 'begun', now_us, record
  end

  local admitted, at = admission(record, number)
  if admitted == 'paused' then
    hold_until(key, record, number, at, 'paused')
    return 'waiting', at * 1000
  elseif admitted == 'refused' and record.lane == 'interactive' and not pauses.account then
    put(key, 'detail', 'Plivo refuses ' .. destination_of(record, number))
    set_state(key, record, number, 'failed', 'forbidden')
    return 'ended', 0
  elseif admitted == 'refused' then
    wait_for_destination(key, record, number)
    return 'waiting', ends_at * 1000
  elseif admitted == 'elsewhere' then
    return 'later', at * 1000
  elseif admitted == 'later' then
    later_us = at * 1000
    return 'later', later_us
  end

  local slot_us, turn_us
  if record.lane == 'interactive' then
    local place = place_of(record, ends_at)
    slot_us, turn_us = reserve_for_person(record.channel, people_ahead(record.channel, number, place))
    -- If a person's slot is too far away, the number stands in the line. There it can be cancelled, and no crash
    -- puts it in doubt. Bulk and scheduled requests keep their place in the queue.
    if not slot_us then
      stand_in_line(number, record.channel, place)
      return wait('pace', math.min(math.ceil(turn_us / 1000), ends_at))
    end
  else
    slot_us, turn_us = reserve(record.lane, record.channel, patience_us)
  end
  if not slot_us then
    later_us = turn_us
    return 'later', later_us
  end
  local lease_until = claim(key, record, number, slot_us)
  local destination = destination_of(record, number)
  if is_closed(destination) then claim_try(destination, math.ceil(slot_us / 1000)) end
  if admitted == 'first' then set_pauses({probe = fence, probe_until = lease_until}) end
  return 'begun', slot_us, record
end

note_reach(tonumber(reach), tonumber(lead))
local answers, is_named, has_claimed = {now_us, ''}, {}, false
for i, key in ipairs(KEYS) do
  local number, request, asleep_until = unpack(ARGV, 3 * i + 6, 3 * i + 8)
  local verdict, at_us, record = 'nothing', 0, nil
  -- A number that the caller names twice has this fence already: it would be begun twice, and sent to twice.
  if not is_named[key] then verdict, at_us, record = begin(key, number, request, tonumber(asleep_until)) end
  is_named[key] = true
  local fields = {}
  if verdict == 'begun' then
    has_claimed = true
    fields = fields_for_sender(key, record)
  elseif verdict ~= 'later' and verdict ~= 'elsewhere' then
    write_hash(key)
    fields = redis.call('HGETALL', key)
  end
  answers[#answers + 1] = {verdict, at_us, fields}
end
save_pace()
if has_claimed then count_claim(member) end
answers[2] = is_gate_shut and 'closed' or seen_now()
return answers
