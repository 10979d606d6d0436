-- needs: arguments, clock, set_back, pause_kinds, changes, record, batch_state, payments, transition, destinations
-- The pauses: why no worker sends in any lane, or in one.
-- The hash of `pauses_key`, times in ms:
--   person:all, person:LANE, and each with :reason   since when; until an operator resumes
--   credentials, credentials_probe    since when Plivo knows the credentials of no worker (401); when the next probe
--                                     is due
--   unknown:DIGEST, unknown:DIGEST_slot, unknown:DIGEST_probe   the same of one worker's credentials, by their digest;
--                                     and the last slot that Plivo refused (lib/credentials.lua)
--   account, account_slot, account_until    since when Plivo refuses the account; the slot that showed it; when the
--                                     next probe is due
--   account_status, account_destination, account_any   Plivo's status; where Plivo took a code last. The probe is a
--                                     number of that destination, or from account_any on of another one
--   refused_row, refused_at, refused_slot, refused_elsewhere   403s in a row at destinations where Plivo took codes
--                                     lately: how many, the last one's destination and slot, and whether there was more
--                                     than one destination: then it is the account
--   not_found, not_found_mark         sends in a row that Plivo answered with 404 or 405; a hash of the last number
--   doubts, doubts_wait, doubts_until, doubts_row    the same after several doubtful answers in a row
--   forgotten, forgotten_before, forgotten_ends   since when codes may live that nobody knows of (lib/generation.lua);
--                                     the last request (a second) that may have got one; until when they may live. Bulk
--                                     and scheduled requests wait, and people's that are not newer
--   probe, probe_until                the fence of the request that is the probe, and the end of its lease
local LOOK_MS = {interactive = 5000, scheduled = 30000, bulk = 30000}  -- how often the sweep looks at a number on hold
local BATCH_LOOK_MS = 600000      -- the same for a paused batch: a resume notifies each of its numbers anyway
local PROBE_MS = 30000            -- how often a refused account is probed
local PROBE_LOOK_MS = 100         -- while a probe is under way, the other callers ask again so often
local LAST_RESORT_MS = 4000       -- so long a due probe waits for a number that Plivo has not refused itself
local LONGEST_LEAD_MS = 600000    -- no probe is due so far in the future

local pauses = {}
do
  local flat = redis.call('HGETALL', pauses_key)
  for i = 1, #flat, 2 do pauses[flat[i]] = flat[i + 1] end
end

local function pause_time(field)
  return tonumber(pauses[field]) or 0
end

-- If Redis' clock was set back, a probe may be due in an hour, and no answer may be to a later slot than the refused
-- one. Then the probe is due now, and any answer counts.
for field in pairs(pauses) do
  local kind = field:match('_(%l+)$')
  if kind == 'slot' and set_back_since(pause_time(field)) > 0 then
    pauses[field] = nil
  elseif (kind == 'until' or kind == 'probe' or kind == 'any') and pause_time(field) > now + LONGEST_LEAD_MS then
    pauses[field] = tostring(now)
  end
end

local function set_pauses(fields)
  for field, value in pairs(fields) do
    pauses[field] = tostring(value)
    redis.call('HSET', pauses_key, field, value)
  end
end

local function clear_pauses(...)
  if not next(pauses) then return end
  for _, field in ipairs({...}) do
    if pauses[field] then
      pauses[field] = nil
      redis.call('HDEL', pauses_key, field)
    end
  end
end

-- The digest of the credentials that the caller uses at Plivo; '' if it uses none.
local callers_digest = defaults:match('^ credentials=(%x+)') or ''

-- Whether the caller has to leave its work to others: Plivo knows the credentials of another worker, but not its own.
local function leaves_work()
  return pauses['unknown:' .. callers_digest] and not pauses.credentials
end

-- The request with this fence is over, or goes back to the queue. If it was the probe, another number may be the next.
-- Returns whether it was.
local function end_probe(fence)
  if pauses.probe ~= fence then return false end
  clear_pauses('probe', 'probe_until')
  return true
end

-- Whether a code may live that Redis, and all who live, have forgotten: for this request of a person, or in this lane.
local function may_be_forgotten(lane, request)
  if pause_time('forgotten_ends') <= now then return false end
  return lane ~= 'interactive' or request ~= nil and tonumber(request) <= pause_time('forgotten_before')
end

-- Returns until when (ms) a lane is paused, as far as is known now; nil if it is not paused. `request` is the one that
-- is about to be sent (nil: any).
local function paused_until(lane, request)
  if not next(pauses) then return nil end
  local until_ms = math.max(pause_time('account_until'), pause_time('doubts_until'))
  if may_be_forgotten(lane, request) then
    until_ms = math.max(until_ms, math.min(pause_time('forgotten_ends'), now + LOOK_MS[lane]))
  end
  if pauses['person:all'] or pauses['person:' .. lane] or pauses.credentials then
    return math.max(until_ms, now + LOOK_MS[lane])
  end
  return until_ms > now and until_ms or nil
end

-- Whether the caller may not send any more to a number that has a slot.
local function is_on_hold(record)
  local state = batch_state_for(record)
  return paused_until(record.lane, record.request) or leaves_work() or state == 'paused' or state == 'cancelled'
end

-- Whether a worker has to send to one number, as a probe, before all others.
local function needs_probe()
  for _, kind in ipairs(SENDING_PROBES) do
    if pauses[kind] then return true end
  end
  return false
end

-- Whether a number that Plivo refused itself may be the account's probe: only if there has been no other for it.
local function is_last_resort()
  return pauses.account and pause_time('account_until') + LAST_RESORT_MS <= now and pause_time('probe_until') <= now
end

-- Returns whether a number may be sent to now:
--   nil          it may
--   'paused'     not until that time (ms)
--   'refused'    not while Plivo refuses its destination, or refused it and the account
--   'later'      ask again at that time (ms); so must all others
--   'elsewhere'  ask again at that time (ms); numbers of another destination may be sent to
--   'first'      it may, as the probe for which all others wait
local function admission(record, number)
  if record.refused and pauses.account and not is_last_resort() then return 'refused' end
  local until_ms, name = paused_until(record.lane, record.request), destination_of(record, number)
  if until_ms then return 'paused', until_ms end
  if is_closed(name) and not may_be_tried(name) then return 'refused' end
  if not needs_probe() then return nil end
  if pause_time('probe_until') > now then return 'later', now + PROBE_LOOK_MS end
  local any_at = pause_time('account_any')
  if pauses.account_destination == name or any_at <= now then return 'first' end
  if pauses.account == pauses.account_until then return 'elsewhere', any_at end  -- the first probe comes at once
  return 'paused', any_at
end

-- Puts a number on hold until `until_ms`, for `paused` or `batch_paused`. For bulk and scheduled requests the deadline
-- moves by the length of the pause.
local function hold_until(key, record, number, until_ms, reason)
  local ends_at = milliseconds(record, 'ends_at')
  local is_held_for_this = record.state == 'waiting' and record.reason == reason
  if record.lane ~= 'interactive' then
    ends_at = ends_at + until_ms - (is_held_for_this and milliseconds(record, 'due_at') or now)
    put(key, 'ends_at', ends_at)
  end
  put(key, 'due_at', until_ms, 'updated_at', now)
  if reason == 'batch_paused' then pause_for_budget(record) end
  if not is_held_for_this and reason == 'paused' and may_be_forgotten(record.lane, record.request) then
    redis.call('HINCRBY', prefix .. ':generation', 'forgotten', 1)
  end
  if is_held_for_this then
    set_agenda(number, math.min(until_ms, ends_at))
  else
    set_state(key, record, number, 'waiting', reason, math.min(until_ms, ends_at))
  end
end
