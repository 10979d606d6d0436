-- needs: clock, settings
-- pace: the slots. A bucket gives them so far apart that no window of Plivo's holds too many; each lane may book only
-- so far ahead, and whoever may not yet is given a turn: a time to ask again at which nobody else does.
-- needs: now_us, facts   KEYS[4] - pace, a hash of times in µs:
--   account, call               the next free slot of each bucket; a call takes one of both
--   turn:LANE:CHANNEL, turn:LANE:floor   the next turn to be given
--   floor:LANE                  from when on the lane has its share, whatever the other lanes do
--   wanted                      until when the lane scheduled is known to want slots
--   closed, closed_at           nobody sends before `closed`: Plivo said 429 at `closed_at`
--   refusals, wide_until        how many 429 came of late; until when slots lie further apart by another jitter
--   slow_at, slow_by            spacings are slow_by times as long, and come back to 1 within RECOVERY_US
--   changed                     when (ms) a person last changed the limits
local AHEAD_US = 5000000          -- how far ahead a person's request books: longer than that nobody holds a child
local LEAST_AHEAD_US, MOST_AHEAD_US = 20000, 500000  -- the other lanes: one slot, but within these
local CALL_AHEAD_US = 5000        -- how far beyond the account's next slot that of a call may lie: what lies between is lost
local SHARE = 9                   -- one slot in so many is a lane's own if it has work: a floor of 10 %
local LEAST_TURN_US = 10000       -- between two turns: with a fast pace, several slots are booked in one
local WANTED_US = 50000           -- after its turn a lane that has work has asked again
local RECOVERY_US = 8000000       -- until the pace is what it was
local SLOWEST = 16                -- the most that spacings are stretched

local pace, moved = {}, {}
do
  local flat = redis.call('HGETALL', KEYS[4])
  for i = 1, #flat, 2 do pace[flat[i]] = tonumber(flat[i + 1]) end
end

local function move(field, value)
  pace[field] = value
  moved[#moved + 1], moved[#moved + 2] = field, value
end

-- To be called last: what has moved is written in one go.
local function keep_pace()
  if #moved > 0 then redis.call('HSET', KEYS[4], unpack(moved)) end
end

-- Without a bucket Redis is new, or was emptied: what was sent before is unknown, so the first window is spent.
if not pace.account then move('account', now_us + facts.window_us) end
if not pace.call then move('call', now_us + facts.call_window_us) end

-- How many times as long spacings are at present.
local function slowness()
  local left = math.max(0, 1 - (now_us - (pace.slow_at or 0)) / RECOVERY_US)
  return 1 + ((pace.slow_by or 1) - 1) * left
end

local function spacing_us(bucket)
  local prefix = bucket == 'call' and 'call_' or ''
  local spacing = facts[prefix .. 'spacing_us']
  if (pace.wide_until or 0) > now_us then
    spacing = spacing * (1 + facts.jitter_us / (facts[prefix .. 'window_us'] + facts.jitter_us))
  end
  return math.ceil(spacing * slowness())
end

local function turn(field, at, step)
  return {field = 'turn:' .. field, at = math.max(pace['turn:' .. field] or 0, at), step = math.max(step, LEAST_TURN_US)}
end

-- Books the next slot of the account, for a call one of its own bucket too, and returns it (µs); or nil, and the turn,
-- which is kept for whoever has the patience (µs) to wait for it: one that nobody waits for would be a slot lost.
local function book(lane, channel, patience_us)
  local spacing = spacing_us('account')
  local account = math.max(now_us, pace.account)
  local slot = channel == 'call' and math.max(account, pace.call) or account
  local share, floor_field = SHARE * spacing, 'floor:' .. lane
  local ahead = AHEAD_US
  if lane ~= 'interactive' then
    -- A call's own slot is rare: when it comes, those who book texts must not have been quicker every time.
    local behind = channel == 'call' and 2 * spacing or 0
    ahead = math.min(math.max(spacing, LEAST_AHEAD_US) + behind, MOST_AHEAD_US)
  end

  local own = slot - ahead
  if lane == 'bulk' and (pace.wanted or 0) > now_us then own = math.huge end
  -- The share goes no further ahead than persons do, who take the slots before it: after a long 429 nobody waits for one.
  local floor = lane == 'interactive' and math.huge or math.max(pace[floor_field] or 0, slot - AHEAD_US - 2 * spacing)
  local by_call = slot - account > CALL_AHEAD_US and slot - CALL_AHEAD_US or 0
  if math.max(math.min(own, floor), by_call) > now_us then
    local step = by_call > 0 and spacing_us('call') or spacing
    local next_turn = turn(lane .. ':' .. channel, math.max(own, by_call), step)
    local by_floor = turn(lane .. ':floor', math.max(floor, by_call), share)
    if by_floor.at < next_turn.at then next_turn = by_floor end
    if next_turn.at <= now_us + patience_us then
      move(next_turn.field, next_turn.at + next_turn.step)
      if lane == 'scheduled' and by_call == 0 then move('wanted', next_turn.at + WANTED_US) end
    end
    return nil, next_turn.at
  end

  move('account', slot + spacing)
  if channel == 'call' then move('call', slot + spacing_us('call')) end
  if lane ~= 'interactive' then
    local kept = floor > now_us - share and floor or now_us  -- a little late is made up for, a long rest is not
    move(floor_field, math.min(kept + share, now_us + share))
  end
  return slot
end

-- Plivo said 429 to a request whose slot was at `slot_us`: nobody sends for as long as it asked (retry_ms, or nil).
-- Returns until when, in ms. What was booked before the others were told counts no second time.
local function close(slot_us, retry_ms)
  if slot_us >= (pace.closed or 0) then
    local recent = (pace.closed_at or 0) + RECOVERY_US > now_us
    local refusals = (recent and pace.refusals or 0) + 1
    local backed_off = math.min(facts.window_us, 1000000) * 2 ^ math.min(refusals - 1, 4)
    local wait = retry_ms and math.max(retry_ms * 1000, 1000000) or backed_off
    wait = math.ceil(wait * (1 + now_us % 101 / 1000))  -- jitter, only upwards: never before Plivo's own time
    move('closed', math.max(pace.closed or 0, now_us + wait))
    move('closed_at', now_us)
    move('wide_until', now_us + RECOVERY_US)
    if refusals >= 3 then
      move('slow_by', math.min(2 * slowness(), SLOWEST))
      move('slow_at', now_us)
      refusals = 0
    end
    move('refusals', refusals)
    move('account', math.max(pace.account, pace.closed))
  end
  return math.ceil((pace.closed or now_us) / 1000)
end
