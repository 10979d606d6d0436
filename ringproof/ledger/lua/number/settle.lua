-- needs: clock, states, settings, changes, record, reverification, transition, destinations, breaker, limits, pace, pauses, plivo_signal, schema
-- Writes down the results of attempts, for the caller that knows their fences; or cancels requests that have not begun.
-- Each one is decided alone, in the order in which they are given.
-- input:  KEYS    the numbers' records
--         ARGV    for each record its number (E.164), request, fence ('': cancel), the new state, reason, detail, ms to
--                 wait (for `waiting`), '1' if the attempt does not count, verification_uuid, api_id, ms since Plivo
--                 answered, what the answer means for others (Python's PlivoSignal), ms that Plivo asks all to wait
--                 ('': none)
-- output: for each record: settled; already (the same was settled before); or stale: nothing changes, because the
--         request or attempt is not the caller's, or its state does not allow this. And the record's state and reason
--         as they are now, its batch and its row ('': none): an answer for all may have another state written
local FIELDS = 13  -- the arguments of one record

local function settle(key, record, number, request, fence, state, reason, detail, wait_ms, is_uncounted,
    verification_uuid, api_id, ago_ms, signal, retry_ms)
  local was_probe = end_probe(fence)  -- even if the number was erased meanwhile
  if record.request ~= request or has_newer_schema(record) then return 'stale' end

  if fence == '' then
    if record.state == state then return 'already' end
    if not UNBEGUN[record.state] or is_newer(record) then return 'stale' end
  else
    if record.fence ~= fence then return 'stale' end
    -- A worker that was only slow may still report the result of a request that is in doubt by now.
    local can_settle = record.state == 'sending' or (record.state == 'in_doubt' and state ~= 'in_doubt')
    if not can_settle then return record.state == state and 'already' or 'stale' end
  end

  -- A doubt that no answer has ended lasts until no code can be live.
  local undecided = reason == 'in_doubt' or reason == 'crashes_worker'
  if undecided and (milliseconds(record, 'live_until') > now or may_still_send(record)) then return 'stale' end

  -- Redis allows this when it is out of memory, and then allows the next writes, too. So no answer of Plivo's is lost.
  redis.call('HDEL', key, 'lease_until', 'look_ups_from')
  local slot = slot_of(record)
  local due_at = now + tonumber(wait_ms)
  local forced, forced_due_at = apply_signal(signal, slot, tonumber(retry_ms), was_probe, number, record)
  local is_refused = forced == 'refused'
  if forced == 'waiting' or forced == 'queued' then due_at = forced_due_at end
  if forced == 'queued' then state, reason = 'queued', '' end  -- Plivo has not sent, and another worker may
  if is_refused then
    record.refused = '1'
    put(key, 'refused', 1)
    state, reason, due_at = 'waiting', 'refused', forced_due_at or milliseconds(record, 'ends_at')
  end

  local agenda_at
  if state == 'code_sent' then
    local sent_at = now - tonumber(ago_ms)
    agenda_at = sent_at + config.code_ms
    set_or_delete(key, 'verified_uuid', uuid_of_verification(record))
    put(key, 'verification_uuid', verification_uuid, 'api_id', api_id,
      'code_sent_at', sent_at, 'expires_at', agenda_at, 'live_until', agenda_at + config.code_margin_ms)
    drop(key, 'live_before', 'code_request', 'tries', 'confirm')
    note_sample(key, record)
  elseif state == 'in_doubt' then
    agenda_at = milliseconds(record, 'live_until')
  elseif state == 'verified' then
    if verification_uuid ~= record.verification_uuid then drop(key, 'code_request') end
    put(key, 'verified_at', now, 'verification_uuid', verification_uuid)
    drop(key, 'live_until', 'live_before', 'verified_uuid')
  else
    if fence ~= '' and not undecided then
      undo_attempt(key, record, is_uncounted ~= '1' and not forced)
    end
    if state == 'waiting' then
      put(key, 'due_at', due_at)
    else
      drop(key, 'due_at')
    end
    if UNBEGUN[state] then agenda_at = math.min(due_at, milliseconds(record, 'ends_at')) end
  end
  set_or_delete(key, 'detail', detail)
  set_state(key, record, number, state, reason, agenda_at)
  if state == 'verified' then restart_schedule(key, record, number) end
  if is_refused and not forced_due_at then add_waiting(record, number) end
  return 'settled'
end

-- All are read first: one that is no record ends the script before it has changed anything. If the caller then settles
-- the others again, nothing of them is counted twice.
local records, answers = {}, {}
for _, key in ipairs(KEYS) do records[key] = read(key) end
for i, key in ipairs(KEYS) do
  local record = records[key] or read(key)
  local answer = settle(key, record, unpack(ARGV, FIELDS * (i - 1) + 3, FIELDS * i + 2))
  local state, reason = state_now(key, record)
  answers[i] = {answer, state, reason, record.batch or '', record.row or ''}
  records[key] = nil  -- another result of the same number has to see what this one has changed
end
save_pace()  -- a cancel has changed nothing of it: a producer may have the right to read it only
return answers
