-- needs: clock, record, transition, pace, pauses
-- what an answer of Plivo's says to all the others
local ROW = 5                     -- doubts in a row that are no accident
local LONGEST_WAIT_MS = 60000     -- after them: 1, 2, 4 … 60 s

-- It was the number's own: another one, sent to later, was taken.
local function condemn_the_suspect()
  local key = ARGV[2] .. ':number:' .. pauses.suspect
  local record = read(key)
  if record.request == pauses.suspect_request and record.state == 'waiting' and record.reason == 'paused' then
    redis.call('HDEL', key, 'due_at')
    change(key, record, pauses.suspect, 'failed', 'forbidden')
  end
end

local function forbidden(number, request, slot)
  if pauses.account then
    pause({account_until = now + PROBE_MS, account_slot = slot})
  elseif pauses.suspect == number then
    lift('suspect', 'suspect_request', 'suspect_slot', 'suspect_until')
    return 'failed'
  elseif pauses.suspect then
    lift('suspect', 'suspect_request', 'suspect_slot', 'suspect_until')
    pause({account = now, account_slot = slot, account_until = now + PROBE_MS})
  else
    pause({suspect = number, suspect_request = request, suspect_slot = slot, suspect_until = now + PROBE_MS})
  end
  return 'waiting', now + PROBE_MS
end

local function doubted()
  if not pauses.doubts then
    pause({doubts_row = since('doubts_row') + 1})
    if since('doubts_row') >= ROW then pause({doubts = now, doubts_wait = 1000, doubts_until = now + 1000}) end
  elseif since('doubts_until') <= now then
    local wait = math.min(2 * since('doubts_wait'), LONGEST_WAIT_MS)
    pause({doubts_wait = wait, doubts_until = now + wait})
  end
end

-- What Plivo said, for all the others: taken, answered (surely not taken, by its own fault), forbidden, throttled,
-- unauthorized, doubtful, known (the credentials are), or '' (nothing). `slot` is its slot in ms.
-- Returns, of a refused request, what becomes of it and when (ms) it is due, where that is not its own matter.
local function hear(news, slot, retry_ms, fence, number, request)
  if pauses.probe and pauses.probe == fence then lift('probe', 'probe_until') end
  if news == 'doubtful' then return doubted() end
  if news ~= '' then lift('doubts', 'doubts_wait', 'doubts_until', 'doubts_row') end
  if news == 'taken' then
    if pauses.suspect and slot > since('suspect_slot') then
      condemn_the_suspect()
      lift('suspect', 'suspect_request', 'suspect_slot', 'suspect_until')
    end
    if slot > since('account_slot') then lift('account', 'account_slot', 'account_until') end
  elseif news == 'known' then
    lift('credentials', 'credentials_probe')
  elseif news == 'unauthorized' then
    if not pauses.credentials then pause({credentials = now, credentials_probe = now + PROBE_MS}) end
    return 'waiting', now + PROBE_MS
  elseif news == 'forbidden' then
    return forbidden(number, request, slot)
  elseif news == 'throttled' then
    return 'waiting', close(slot * 1000, retry_ms)
  end
end
