-- needs: arguments, clock, record, transition, pace, pauses
-- What one answer of Plivo's means for all other requests: it pauses them, or ends a pause.
local DOUBTS_IN_A_ROW = 5         -- so many doubtful answers in a row begin a pause
local LONGEST_WAIT_MS = 60000     -- after them the pauses last 1, 2, 4 … 60 s

local function clear_suspect()
  clear_pauses('suspect', 'suspect_request', 'suspect_slot', 'suspect_until')
end

-- Fails the suspect: Plivo has accepted another number with a later slot, so the account is not at fault.
local function fail_suspect()
  local key = key_of_record(pauses.suspect)
  local record = read(key)
  if record.request == pauses.suspect_request and record.state == 'waiting' and record.reason == 'paused' then
    redis.call('HDEL', key, 'due_at')
    set_state(key, record, pauses.suspect, 'failed', 'forbidden')
  end
end

local function after_forbidden(number, request, slot)
  if pauses.account then
    set_pauses({account_until = now + PROBE_MS, account_slot = slot})
  elseif pauses.suspect == number then
    clear_suspect()
    return 'failed'
  elseif pauses.suspect then
    clear_suspect()
    set_pauses({account = now, account_slot = slot, account_until = now + PROBE_MS})
  else
    set_pauses({suspect = number, suspect_request = request, suspect_slot = slot, suspect_until = now + PROBE_MS})
  end
  return 'waiting', now + PROBE_MS
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

-- Any answer but 401 shows that Plivo knows the credentials, if the request has a later slot than the one that Plivo
-- refused. After a jump of Redis' clock no slot may be later for long: then any answer counts.
local function judge_credentials(signal, slot)
  local refused_slot = pause_time('credentials_slot')
  if signal == 'unauthorized' then
    if not pauses.credentials then set_pauses({credentials = now, credentials_probe = now + PROBE_MS}) end
    set_pauses({credentials_slot = slot})
  elseif slot >= refused_slot or refused_slot > now then
    clear_credentials()
  end
end

-- Applies a signal, one of Python's PlivoSignal, to the pauses and the pace.
-- `slot` is the request's slot in ms, `retry_ms` the time that Plivo asks for (nil: none). A request that sent no code
-- has '' as fence, number and request.
-- Returns nil if the request's own outcome counts, or the state that the signal forces upon it: 'waiting' and until
-- when (ms), or 'failed'.
local function apply_signal(signal, slot, retry_ms, fence, number, request)
  if signal == 'doubtful' then return after_doubt() end
  if signal ~= '' then judge_credentials(signal, slot) end
  if signal ~= '' and signal ~= 'known' then clear_pauses('doubts', 'doubts_wait', 'doubts_until', 'doubts_row') end
  if signal == 'taken' then
    if pauses.suspect and slot > pause_time('suspect_slot') then
      fail_suspect()
      clear_suspect()
    end
    if slot > pause_time('account_slot') then clear_pauses('account', 'account_slot', 'account_until') end
  elseif signal == 'unauthorized' then
    return 'waiting', now + PROBE_MS
  elseif signal == 'forbidden' then
    return after_forbidden(number, request, slot)
  elseif signal == 'throttled' then
    return 'waiting', close_pace(slot * 1000, retry_ms)
  end
end
