-- pauses: what keeps everybody, or a lane, from being sent to; and what an answer of Plivo's says to all the others.
-- needs: now, facts, close, read, change, batch_state   KEYS[5] - pauses, a hash (times in ms):
--   person:all, person:LANE, and each with :reason   since when; until a person resumes
--   credentials, credentials_probe    since when Plivo does not know them (401); when it is asked again
--   suspect, suspect_request, suspect_slot, suspect_until   the number that got a 402 or 403: another one tells whose
--                                     fault it is; alone, the number itself is asked again at suspect_until
--   account, account_slot, account_until    since when the account is refused; when one is sent to first
--   doubts, doubts_wait, doubts_until, doubts_row    the same after doubts in a row
--   probe, probe_until                the fence of the one that is sent to first, and its lease
--        ARGV[2] - what all keys begin with: the suspect's record is found by its number, so it cannot be in KEYS
local LOOK_MS = {interactive = 5000, scheduled = 30000, bulk = 30000}  -- how often a paused number is looked at
local PROBE_MS = 30000            -- how often a refused account is tried
local ROW = 5                     -- doubts in a row that are no accident
local LONGEST_WAIT_MS = 60000     -- after them: 1, 2, 4 … 60 s
local BATCH_LOOK_MS = 600000      -- the same for a paused batch: its resume is told to each of its numbers
local SHORT_MS = 250              -- while one is sent to first, whoever may be next asks again
local WANTS = {cancelled = 1, paused = 2, running = 3, completed = 3}  -- how much a batch wants its numbers sent to

local pauses = {}
do
  local flat = redis.call('HGETALL', KEYS[5])
  for i = 1, #flat, 2 do pauses[flat[i]] = flat[i + 1] end
end

local function since(field) return tonumber(pauses[field]) or 0 end

local function pause(fields)
  for field, value in pairs(fields) do
    pauses[field] = tostring(value)
    redis.call('HSET', KEYS[5], field, value)
  end
end

local function lift(...)
  for _, field in ipairs({...}) do
    if pauses[field] then
      pauses[field] = nil
      redis.call('HDEL', KEYS[5], field)
    end
  end
end

-- Until when (ms) nobody of this lane is sent to, as far as is known; nil if it is not paused.
local function paused(lane)
  local at = math.max(since('account_until'), since('doubts_until'))
  if pauses['person:all'] or pauses['person:' .. lane] or pauses.credentials then
    return math.max(at, now + LOOK_MS[lane])
  end
  return at > now and at or nil
end

-- The state of the batch by whose word a record goes; nil if it is no row, or a person has taken it over. Where others
-- have joined the request, `joined_by`, it goes by the word of whichever wants it most.
local function batch_word(record)
  if not (record.batch and record.lane == 'bulk') then return nil end
  local word = batch_state(record.batch)
  for name in (record.joined_by or ''):gmatch('[^/]+') do
    local other = batch_state(name)
    if (WANTS[other] or 0) > (WANTS[word] or 0) then word = other end
  end
  return word or nil
end

-- Of batches, '/' between their names, those for which a request of the batch `own` stands, too.
local function joiners(own, names)
  local found, seen = {}, {[own] = true}
  for name in names:gmatch('[^/]+') do
    if not seen[name] and (WANTS[batch_state(name)] or 0) > WANTS.cancelled then found[#found + 1] = name end
    seen[name] = true
  end
  return table.concat(found, '/')
end

-- Whether a number that was begun is not to be sent to any more.
local function is_held(record)
  local word = batch_word(record)
  return paused(record.lane) or word == 'paused' or word == 'cancelled'
end

-- What becomes of a number that would be sent to: nil (it may), 'paused' and until when, 'later', and when to ask
-- again, or 'first': all the others wait for what becomes of it.
local function gate(lane, number)
  local at = paused(lane)
  if at then return 'paused', at end
  if not (pauses.account or pauses.doubts or pauses.suspect) then return nil end
  if pauses.suspect == number and since('suspect_until') > now then return 'paused', since('suspect_until') end
  if since('probe_until') > now then return 'later', now + SHORT_MS end
  return 'first'
end

-- A number waits out a pause, of all (`paused`) or of its batch (`batch_paused`); what nobody waits for in front of a screen has as much longer to its end.
local function wait_out(key, record, number, at, reason)
  local ends_at = milliseconds(record, 'ends_at')
  local again = record.state == 'waiting' and record.reason == reason
  if record.lane ~= 'interactive' then
    ends_at = ends_at + at - (again and milliseconds(record, 'due_at') or now)
    redis.call('HSET', key, 'ends_at', ends_at)
  end
  redis.call('HSET', key, 'due_at', at)
  if again then
    redis.call('ZADD', KEYS[1], math.min(at, ends_at), number)
  else
    change(key, record, number, 'waiting', reason, math.min(at, ends_at))
  end
end

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
