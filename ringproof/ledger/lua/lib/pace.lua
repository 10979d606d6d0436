-- needs: arguments, clock, settings, set_back, jumps, metrics
-- The slots at which requests to Plivo may start. Each bucket gives slots so far apart that no window of Plivo's has
-- too many requests.
-- The hash of `pace_key`, times in µs:
--   account, call               the next free slot of each bucket; a call takes a slot of both
--   held_until                  the last slot that a call holds in the account's bucket, beyond the next free one
--   BUCKET_last                 the last slot that was reserved
--   BUCKET_window, BUCKET_spacing, BUCKET_from   the rate of the slots, and the first slot of this rate
--   turn:…, floor:…, wanted:…   see turns.lua
--   closed                      nothing is sent before, because Plivo answered 429
--   refusals, wide_until        the number of recent 429s; until when slots lie further apart, by the jitter once more
--   slow_at, slow_by            spacings are `slow_by` times as long, and return to normal within RECOVERY_US of then
--   reach, reach_until          how far the farthest caller of late is, and until when it counts
--   saved_at                    when (ms) the pace was last changed
local RECOVERY_US = 8000000       -- the pace is back to normal so long after the end of a 429
local SLOWEST = 16                -- spacings are stretched at most so many times

local REACH_KEPT_US = 10000000    -- a caller counts for so long after its call

-- Calls hold these slots of the account (µs), beyond its next free one: the texts take those before.
local held_key = prefix .. ':held'

-- The pace is read when a script first asks for one of its fields: most results of attempts change nothing of it.
local pace, changes, is_wrong = {}, {}, false
local follow_rates

local function set_pace(field, value)
  pace[field] = value
  changes[field] = value
end

-- Returns where a slot (µs) is by the clock as it goes now, which has jumped since the pace was saved (ms).
local function moved_slot(slot, saved_at)
  return slot and math.ceil(moved_time(slot / 1000, saved_at) * 1000)
end

local function read_pace()
  setmetatable(pace, nil)
  local flat = redis.call('HGETALL', pace_key)
  for i = 1, #flat, 2 do pace[flat[i]] = tonumber(flat[i + 1]) end
  -- After Redis' clock has jumped all times of the pace are wrong: it begins again as that of an emptied Redis, but not
  -- before a window after the last slot that is booked. This is not written here, because a producer may have the right
  -- to read the pace only.
  local saved_at, last_account, last_call = pace.saved_at, pace.account_last, pace.call_last
  is_wrong = saved_at and (set_back_since(saved_at) > 0 or #jumps_since(saved_at) > 0)
  if is_wrong then
    for field in pairs(pace) do pace[field] = nil end
    pace.account_last, pace.call_last = moved_slot(last_account, saved_at), moved_slot(last_call, saved_at)
  end
  read_policy({
    'window_us', 'spacing_us', 'call_window_us', 'call_spacing_us', 'jitter_us', 'max_codes_per_day', 'countries',
    'test_numbers',
  })
  follow_rates()
end

setmetatable(pace, {__index = function(_, field)
  read_pace()
  return pace[field]
end})

-- Writes all changes in one command. A script that changes the pace calls this last.
local function save_pace()
  if is_wrong then redis.call('DEL', pace_key) end
  local fields = {}
  for field, value in pairs(changes) do fields[#fields + 1], fields[#fields + 2] = field, value end
  if fields[1] then redis.call('HSET', pace_key, 'saved_at', now, unpack(fields)) end
end

-- Returns a field of the bucket's rate, in µs: its window, or the spacing of its slots.
local function rate_of(bucket, field)
  return config[(bucket == 'call' and 'call_' or '') .. field .. '_us']
end

-- Adapts a bucket to the rate that applies now, if its slots were reserved by another one: an operator has set it, or
-- its time is over, or a worker has started with it. Plivo still counts what was sent and what is about to be, so the
-- next slot is a window after the last one. Slots of the other rate are revoked, and all turns go back.
-- A new or emptied Redis knows no last slot, and nobody knows the present one after a jump of the clock: requests may
-- have been sent shortly before, but not within the jitter.
local function follow_rate(bucket)
  local window, spacing = rate_of(bucket, 'window'), rate_of(bucket, 'spacing')
  if pace[bucket .. '_window'] == window and pace[bucket .. '_spacing'] == spacing then return end
  local last = pace[bucket .. '_last'] or 0
  if not pace[bucket .. '_window'] then last = math.max(last, now_us - config.jitter_us) end
  set_pace(bucket .. '_window', window)
  set_pace(bucket .. '_spacing', spacing)
  set_pace(bucket .. '_last', last)
  set_pace(bucket .. '_from', last + window + config.jitter_us)
  set_pace(bucket, math.max(pace[bucket .. '_from'], pace.closed or 0))
  for field in pairs(pace) do
    if field:find('^turn:') or field:find('^floor:') then set_pace(field, 0) end
  end
end

function follow_rates()
  follow_rate('account')
  follow_rate('call')
end

-- The reach of a caller (µs): so long after now, at the latest, it has this script's answer. A slot that comes before
-- is missed, and nobody else can use it. The reach of other scripts is 0: they return no slot.
local reach_us = 0
local function farthest_reach()
  return (pace.reach_until or 0) > now_us and pace.reach or 0
end

-- Notes how far the caller of this script is. It needs `lead` (µs) more until it can send.
local function note_reach(reach, lead)
  reach_us = reach + lead
  if reach > 0 and reach >= farthest_reach() then
    set_pace('reach', reach)
    set_pace('reach_until', now_us + REACH_KEPT_US)
  end
end

-- Returns by which factor spacings are longer than usual now.
local function slowness()
  local since = now_us - (pace.slow_at or 0)
  if since >= RECOVERY_US then return 1 end
  return 1 + ((pace.slow_by or 1) - 1) * math.min(1, 1 - since / RECOVERY_US)
end

local function spacing_us(bucket)
  local spacing = rate_of(bucket, 'spacing')
  if (pace.wide_until or 0) > now_us then
    spacing = spacing * (1 + config.jitter_us / (rate_of(bucket, 'window') + config.jitter_us))
  end
  return math.ceil(spacing * slowness())
end

-- Whether a slot that was reserved may not be used: another rate or a 429 has come since.
local function is_revoked(slot, channel)
  return slot < math.max(pace.closed or 0, pace.account_from, channel == 'call' and pace.call_from or 0)
end

-- Returns the first slot of the account from `slot` on that the caller can reach, and that is a spacing away from all
-- that calls hold.
local function free_slot(slot)
  local spacing = spacing_us('account')
  slot = math.max(now_us + reach_us, slot)
  while (pace.held_until or 0) > slot - spacing do
    local from, to = string.format('(%.0f', slot - spacing), string.format('(%.0f', slot + spacing)
    local held = redis.call('ZRANGEBYSCORE', held_key, from, to, 'LIMIT', 0, 1)[1]
    if not held then break end
    slot = tonumber(held) + spacing
  end
  return slot
end

-- Returns the next slot of a channel, and the account's next one. While texts take all slots, a call's is a whole
-- number of spacings later, so that they come up to it without a gap.
local function next_slot(channel)
  local account = free_slot(pace.account)
  if channel ~= 'call' or pace.call <= account then return account, account end
  if account == now_us + reach_us then return free_slot(pace.call), account end
  local spacing = spacing_us('account')
  return free_slot(account + math.ceil((pace.call - account) / spacing) * spacing), account
end

-- Takes a slot that next_slot has returned, with the account's next one. `user` is who gets it: a lane; `question`, for
-- a request that sends no code; or `again`, for a send that has missed its slot.
local function take_slot(channel, slot, account, user)
  add_metric('slot - ' .. user .. ' ' .. channel, 1)
  if slot == account then
    set_pace('account', slot + spacing_us('account'))
  else
    redis.call('ZREMRANGEBYSCORE', held_key, '-inf', now_us - spacing_us('account'))
    redis.call('ZADD', held_key, slot, string.format('%.0f', slot))
    set_pace('held_until', math.max(pace.held_until or 0, slot))
  end
  set_pace('account_last', math.max(pace.account_last, slot))
  if channel == 'call' then
    set_pace('call', slot + spacing_us('call'))
    set_pace('call_last', slot)
  end
end

-- Plivo answered 429 to a request with this slot: closes the pace for as long as Plivo asks (retry_ms; nil: Plivo names
-- no time). Returns until when, in ms. A 429 to a slot before `closed` belongs to an earlier one and changes nothing.
local function close_pace(slot_us, retry_ms)
  if slot_us >= (pace.closed or 0) then
    local recent = (pace.closed or 0) + RECOVERY_US > now_us
    local refusals = (recent and pace.refusals or 0) + 1
    local backed_off = math.min(config.window_us, 1000000) * 2 ^ math.min(refusals - 1, 4)
    local wait = retry_ms and math.max(retry_ms * 1000, 1000000) or backed_off
    wait = math.ceil(wait * (1 + now_us % 101 / 1000))  -- jitter, upwards only: never earlier than Plivo asks
    set_pace('closed', math.max(pace.closed or 0, now_us + wait))
    set_pace('wide_until', pace.closed + RECOVERY_US)
    if refusals >= 3 then
      set_pace('slow_by', math.min(2 * slowness(), SLOWEST))
      set_pace('slow_at', pace.closed)
      refusals = 0
    end
    set_pace('refusals', refusals)
    set_pace('account', math.max(pace.account, pace.closed))
  end
  return math.ceil((pace.closed or now_us) / 1000)
end

-- Notes the last slots (µs; false: none) that a process knows of, and that Redis may have forgotten: the next ones are
-- later.
local function note_used_slot(account, call)
  if account and account > pace.account_last then
    set_pace('account_last', account)
    set_pace('account', math.max(pace.account, account + spacing_us('account')))
  end
  if call and call > pace.call_last then
    set_pace('call_last', call)
    set_pace('call', math.max(pace.call, call + spacing_us('call')))
  end
end
