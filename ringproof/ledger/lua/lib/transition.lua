-- needs: arguments, clock, states, history_letters, changes, record, expiry, batch_rows, payments, reverification, line, people, destinations, breaker, outbox, metrics
-- How a record changes its state.

-- The states that somebody outside may wait for: the others are steps on the way, or what that person did alone.
local IS_NEWS = {code_sent = true, verified = true, failed = true, in_doubt = true, expired = true}

-- The states that the metrics do not count: each request comes to `queued`, and each attempt to `sending`.
local IS_ON_THE_WAY = {queued = true, sending = true}

-- Keeps the set of numbers in doubt, with when (ms) each doubt began.
local function note_doubt(number, is_doubt)
  if is_doubt then
    redis.call('ZADD', doubts_key, now, number)
  else
    redis.call('ZREM', doubts_key, number)
  end
end

-- Returns a second (since 1970) in six base-36 digits, which last until 2038.
local function base36(seconds)
  local digits = '0123456789abcdefghijklmnopqrstuvwxyz'
  local text = ''
  for _ = 1, 6 do
    local digit = seconds % 36
    text = digits:sub(digit + 1, digit + 1) .. text
    seconds = (seconds - digit) / 36
  end
  return text
end

local now_text = string.format('%.0f', now)  -- Redis takes long to write a number as a text, so once for all records

local this_second
local function second36()
  this_second = this_second or base36(math.floor(now / 1000))
  return this_second
end

-- A number whose record is about to change or to go does not wait for its destination any more.
local function end_wait(record, number)
  if record.reason == 'refused' then remove_waiting(record, number) end
end

-- The state and the reason that this script has given a record: key -> {state, reason}
local written_states = {}

-- Returns the state and the reason of a record as they are now; '' for none. `record` is as the script has read it.
local function state_now(key, record)
  local state, reason = unpack(written_states[key] or {record.state, record.reason})
  return state or '', reason or ''
end

-- Sets the state and the reason of a record: every change of a state goes through this function. `agenda_at` (ms) is
-- the moment at which the number needs attention next; nil for a final state.
-- It adds to the history, updates the row of a batch, publishes the state on the channel of the record's name, counts
-- the state for the metrics, and notes an event for the outbox. `outcome` is the state of the request, if it is not
-- that of the number. A record that is written without a request of somebody (from Plivo's list, or after an erasure)
-- is no news.
local function set_state(key, record, number, state, reason, agenda_at, outcome)
  reason = update_reverification(key, record, number, state, reason)
  -- An entry has eight bytes: a letter for the state, one for the reason, and the second. Eight entries fill the 64
  -- bytes up to which Redis keeps a hash packed.
  local history_entry = letter_of(state) .. (letter_of(reason) or '-') .. second36()
  local history = string.sub((record.history or '') .. history_entry, -64)
  local fields = changes_of(key)
  fields.state, fields.updated_at, fields.history = state, now_text, history
  set_or_delete(key, 'reason', reason)
  written_states[key] = {state, reason}
  end_wait(record, number)
  if agenda_at then
    set_agenda(number, agenda_at)
  else
    set_agenda(number, nil)
    drop(key, 'trace')
    -- A failed request does not end an earlier verification, and a scheduled re-verification needs the record: both
    -- stay.
    local stays = state == 'verified' or is_verified(record) and reason ~= 'lapsed'
      or redis.call('ZSCORE', renewals_key, number)
    if not stays then expire_record(key) end
  end
  -- A person who is called up keeps the place until begin has claimed the number.
  local keeps_place = state == 'queued' or state == 'waiting' and reason == 'pace'
  if record.lane == 'interactive' and not keeps_place then leave_line(number, record.channel) end
  if record.lane == 'interactive' and (keeps_place or reason == 'paused') then
    join_backlog(number, record.channel, place_of(record, milliseconds(record, 'ends_at')))
  elseif record.lane == 'interactive' then
    leave_backlog(number, record.channel)
  end
  -- A request that has not begun may be cancelled, fail, or be verified by an earlier code. Of those that have begun,
  -- only one in doubt may have sent a code and fail nevertheless.
  local is_unsent = UNBEGUN[record.state] and FINAL[state]
    or state == 'failed' and reason ~= 'in_doubt' and reason ~= 'crashes_worker'
  if is_unsent then
    uncount_person(key, record, number)
    give_probe_back(record, number)
  end
  if record.batch then
    pay(key, record, state, reason)
    update_row_of(record, state, reason)
  end
  if state == 'in_doubt' or record.state == 'in_doubt' then note_doubt(number, state == 'in_doubt') end
  if record.request and not IS_ON_THE_WAY[state] then
    count_of_request('outcome', record, (outcome or state) .. ' ' .. (reason ~= '' and reason or '-'))
  end
  redis.call('PUBLISH', key, state)
  if record.state and IS_NEWS[state] then
    note_event(key, number, outcome or state, reason, record.verification_uuid)
  end
end

-- Has a number wait for its destination: until Plivo takes codes there again, or it is this number's turn to be tried.
-- `record.refused` is set if Plivo has refused this number itself. The deadline does not move, so that a batch ends.
local function wait_for_destination(key, record, number)
  put(key, 'due_at', record.ends_at)
  set_state(key, record, number, 'waiting', 'refused', milliseconds(record, 'ends_at'))
  add_waiting(record, number)
end
