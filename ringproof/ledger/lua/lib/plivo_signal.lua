-- needs: clock, destinations, pace, pauses, credentials
-- What one answer of Plivo's means for all other requests: it pauses them, or ends a pause.
local DOUBTS_IN_A_ROW = 5         -- so many doubtful answers in a row begin a pause
local LONGEST_WAIT_MS = 60000     -- after them the pauses last 1, 2, 4 … 60 s
local LEAVE_MS = 1000             -- by then a worker whose credentials are refused takes no more messages
local NOT_FOUND_IN_A_ROW = 5      -- so many answers 404 or 405 in a row are the address's fault
local SUSPECT_MS = 2000           -- at the pace of bulk, a hundred other sends
local ANY_MS, ANY_AT_ONCE_MS = 2000, 250  -- how long a due probe waits for a number where Plivo took a code last; the
                                  -- longer one leaves the sweep time to enqueue it
local IN_A_ROW = {'refused_at', 'refused_elsewhere', 'refused_row', 'refused_slot', 'not_found', 'not_found_mark'}
local REFUSALS = {no_credit = true, forbidden = true, not_found = true}

-- Begins the pause of all lanes, because Plivo refuses the account; the first probe is due after `wait_ms`.
local function pause_account(status, slot, wait_ms)
  local until_ms = now + wait_ms
  set_pauses({account = now, account_status = status, account_slot = slot, account_until = until_ms})
  local destination = last_taken()
  if destination then
    set_pauses({account_destination = destination, account_any = until_ms + (wait_ms > 0 and ANY_MS or ANY_AT_ONCE_MS)})
  end
  clear_pauses(unpack(IN_A_ROW))
end

-- The probe was refused as well, or another number that was under way when the pause began.
local function after_failed_probe(slot)
  local until_ms = now + PROBE_MS
  set_pauses({account_until = until_ms, account_slot = slot})
  if pauses.account_destination then set_pauses({account_any = until_ms + ANY_MS}) end
end

-- 402: the account has no credit. A number that is refused so again, after the account was fine, is too dear itself.
local function after_no_credit(record, slot)
  if pauses.account then return 'refused' end
  pause_account('402', slot, PROBE_MS)
  return not record.refused and 'refused' or nil
end

-- 403: Plivo does not send to this destination. If Plivo took codes there lately, the number alone may be at fault: it
-- waits for SUSPECT_MS, and the next answers to other numbers decide. Two such destinations in a row show that Plivo
-- refuses the account.
local function after_forbidden(record, number, slot)
  local name = destination_of(record, number)
  if pauses.account then
    local is_due = pause_time('account_until') <= now and not pauses.probe
    if is_due and slot > pause_time('account_slot') and was_taken_lately(name) then after_failed_probe(slot) end
    return 'refused'
  end
  local is_ambiguous, was_closed = was_taken_lately(name), is_closed(name)
  note_refused(name, slot)
  if is_ambiguous and not was_closed then
    if pauses.refused_at and pauses.refused_at ~= name then set_pauses({refused_elsewhere = 1}) end
    set_pauses({refused_at = name, refused_slot = slot, refused_row = pause_time('refused_row') + 1})
    local is_unlike_strays = pause_time('refused_row') >= 2 + read_destination(name).strays
    if pauses.refused_elsewhere and is_unlike_strays then pause_account('403', slot, 0) end
  end
  if record.refused or not is_ambiguous then return nil end
  return 'refused', now + SUSPECT_MS
end

-- 404 or 405: this number is wrong; or the address is, if it happens to several numbers in a row.
local function after_not_found(number, slot)
  if pauses.account then return 'refused' end
  local mark = redis.sha1hex(number):sub(1, 8)
  if pauses.not_found_mark == mark then return nil end
  set_pauses({not_found = pause_time('not_found') + 1, not_found_mark = mark})
  if pause_time('not_found') < NOT_FOUND_IN_A_ROW then return nil end
  pause_account('404', slot, 0)
  return 'refused'
end

local function after_taken(record, number, slot)
  note_taken(destination_of(record, number), slot)
  if slot > pause_time('refused_slot') then clear_pauses(unpack(IN_A_ROW)) end
  if slot > pause_time('account_slot') then
    clear_pauses('account', 'account_slot', 'account_until', 'account_status', 'account_destination', 'account_any')
  end
end

local function after_doubt()
  if not pauses.doubts then
    set_pauses({doubts_row = pause_time('doubts_row') + 1})
    if pause_time('doubts_row') >= DOUBTS_IN_A_ROW then
      set_pauses({doubts = now, doubts_wait = 1000, doubts_until = now + 1000})
    end
  elseif pause_time('doubts_until') <= now then
    local wait = math.min(2 * pause_time('doubts_wait'), LONGEST_WAIT_MS)
    set_pauses({doubts_wait = wait, doubts_until = now + wait})
  end
end

-- Applies a signal, one of Python's PlivoSignal, to the pauses, the destinations and the pace.
-- `slot` is the request's slot in ms, `retry_ms` the time that Plivo asks for (nil: none), `was_probe` whether the
-- request was the probe. A request that sent no code has '' as number, and an empty record.
-- Returns nil if the request keeps its own outcome. Returns 'waiting' and a time (ms) if it waits until then, and
-- 'queued' and a time (ms) if another worker is to have it from then on. Returns 'refused' and a time (ms) if it is
-- judged then, or 'refused' alone if it waits for its destination.
local function apply_signal(signal, slot, retry_ms, was_probe, number, record)
  if signal == 'doubtful' then return after_doubt() end
  if signal == 'taken' and not next(pauses) then  -- as mostly: there is no pause that it could end
    note_taken(destination_of(record, number), slot)
    return nil
  end
  if signal ~= '' then judge_credentials(signal == 'unauthorized', slot) end
  if signal ~= '' and signal ~= 'known' then clear_pauses('doubts', 'doubts_wait', 'doubts_until', 'doubts_row') end
  if pauses.account and was_probe and REFUSALS[signal] then after_failed_probe(slot) end
  if signal == 'taken' then
    after_taken(record, number, slot)
  elseif signal == 'unauthorized' then
    if leaves_work() then return 'queued', now + LEAVE_MS end
    return 'waiting', now + PROBE_MS
  elseif signal == 'no_credit' then
    return after_no_credit(record, slot)
  elseif signal == 'forbidden' then
    return after_forbidden(record, number, slot)
  elseif signal == 'not_found' then
    return after_not_found(number, slot)
  elseif signal == 'throttled' then
    return 'waiting', close_pace(slot * 1000, retry_ms)
  end
end
