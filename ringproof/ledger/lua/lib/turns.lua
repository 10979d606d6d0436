-- needs: clock, settings, pace, line
-- Which lane gets the next slot, of all and of those for calls. A lane may reserve slots up to its horizon only: people
-- far ahead, the others hardly further than they have to. A person whose slot is beyond it stands in the line. Another
-- caller gets a turn: a moment at which this caller alone may ask again.
-- Its fields in the hash of `pace_key`, times in µs:
--   turn:LANE:CHANNEL           the next turn to give
--   turn:LANE:CHANNEL:floor     the next turn for the lane's share
--   floor:LANE, floor:LANE:call from when on the lane's share is due, of all slots and of those for calls
--   wanted:CHANNEL              until when the lane scheduled is known to want slots
local AHEAD_US = 5100000          -- horizon of the lane interactive: a begun number may wait so long. It is one
                                  -- window of Plivo's 5 s with its jitter: after a change of rates no person needs the
                                  -- agenda
local LEAST_AHEAD_US, MOST_AHEAD_US = 20000, 500000  -- horizon of the other lanes: one slot, within these bounds; and
                                  -- the farthest caller's distance
local CALL_AHEAD_US = 2000000     -- how far beyond the account's next slot people may reserve one for a call: two ticks
                                  -- of the sweep. Further ahead, a crash would put more of them in doubt
local LEAST_CALL_AHEAD_US = 600000  -- the same for the other lanes: a call connects half a second before its slot
local SHARE = 9                   -- a lane with work gets one slot in so many, or more: a floor of about 10 %
local LEAST_TURN_US = 10000       -- least time between two turns: at a fast pace a caller reserves several slots
local WANTED_US = 50000           -- a lane that still has work asks again within this time after its turn

-- Returns the slot (µs) that a person with so many people ahead may expect, and the turn: when it may be reserved.
local function slot_of_person(channel, others)
  local slot, account = next_slot(channel)
  slot = slot + others * spacing_us(channel == 'call' and 'call' or 'account')
  local turn = slot - AHEAD_US
  if channel == 'call' then turn = math.max(turn, now_us + slot - account - CALL_AHEAD_US) end
  return slot, turn
end

-- Returns the earliest slot (µs) that a person with this deadline and place (ms) may get: all with an earlier place get
-- theirs at the full pace, and nothing else is sent. Other lanes, a pause or a slower pace can only make it later. So
-- can the slots that calls hold: a producer may not read them.
local function earliest_slot(channel, ends_at, place)
  if end_of_limits() and end_of_limits() < ends_at then return now_us end  -- an operator's rates end before
  local spacing = rate_of(channel == 'call' and 'call' or 'account', 'spacing')
  local next_free = math.max(now_us, pace.account, channel == 'call' and pace.call or 0)
  return next_free + backlog_before(channel, place) * spacing
end

-- Reserves the next slot for a person. Returns the slot (µs); or nil and the turn.
local function reserve_for_person(channel, others)
  local _, turn = slot_of_person(channel, others)
  if turn > now_us then return nil, turn end
  local slot, account = next_slot(channel)
  take_slot(channel, slot, account, 'interactive')
  return slot
end

-- Returns a turn of the lane at `at` or later, and the field that the caller's turn is taken off. `step` (µs) is the
-- time until the next one.
local function turn_of(field, at, step)
  field = 'turn:' .. field
  return {field = field, at = math.max(pace[field] or 0, at), step = math.max(step, LEAST_TURN_US)}
end

-- Returns by how much longer (µs) the horizon of the other lanes is while some caller is far from Redis. Its next call
-- comes a round trip after the one before, so a lane reserves ahead what the farthest caller can still reach then. All
-- callers do: a near one that reserved only the next slots would leave the far one slots to skip. The way of a call is
-- not known, and taken to be as long as that of its answer.
local function distance_us()
  return 3 * farthest_reach()
end

-- Notes that a lane has got a slot: its share is due again a step later. A lane catches up after a small delay, not
-- after a rest.
local function move_floor(field, floor, step)
  local kept = floor > now_us - step - distance_us() and floor or now_us
  set_pace(field, math.min(kept + step, now_us + step))
end

-- Reserves the next slot for a lane that is not the people's. Returns the slot (µs); or nil and the caller's turn. The
-- turn is reserved only if it comes within the caller's patience (µs): one that the caller does not wait for would
-- waste a slot.
local function reserve(lane, channel, patience_us)
  local is_call = channel == 'call'
  local spacing = spacing_us('account')
  local step = is_call and spacing_us('call') or spacing
  local floor_field, call_floor_field = 'floor:' .. lane, 'floor:' .. lane .. ':call'
  local slot, account = next_slot(channel)
  -- Slots for calls are rare. With this longer horizon a call reserves one although texts take the next ones.
  local ahead = math.min(math.max(spacing, LEAST_AHEAD_US) + (is_call and 2 * spacing or 0), MOST_AHEAD_US)
  ahead = ahead + distance_us()

  local own = account - ahead
  if lane == 'bulk' and (pace['wanted:sms'] or 0) > now_us then own = math.huge end
  -- Its share lets a lane reserve hardly further ahead than people may: after a long 429 no caller would wait for a
  -- slot that is further away.
  local floor, call_floor = math.max(pace[floor_field] or 0, account - AHEAD_US - 2 * spacing), nil
  local account_floor = floor
  if is_call then
    -- Both buckets have to give a slot: each by the lane's horizon, or by its share.
    local by_account, beyond = math.min(own, floor), slot - account
    call_floor = math.max(pace[call_floor_field] or 0, now_us + beyond - CALL_AHEAD_US - 2 * step)
    local wanted = lane == 'bulk' and pace['wanted:call'] or 0
    own = math.max(by_account, now_us + beyond - LEAST_CALL_AHEAD_US - distance_us(), wanted)
    floor = math.max(by_account, call_floor)
  end

  if math.min(own, floor) > now_us then
    local next_turn = turn_of(lane .. ':' .. channel, own, step)
    local by_floor = turn_of(lane .. ':' .. channel .. ':floor', floor, SHARE * step)
    if by_floor.at < next_turn.at then next_turn = by_floor end
    if next_turn.at <= now_us + patience_us then
      set_pace(next_turn.field, next_turn.at + next_turn.step)
      if lane == 'scheduled' then set_pace('wanted:' .. channel, next_turn.at + WANTED_US + distance_us()) end
    end
    return nil, next_turn.at
  end

  take_slot(channel, slot, account, lane)
  move_floor(floor_field, account_floor, SHARE * spacing)
  if is_call then move_floor(call_floor_field, call_floor, SHARE * step) end
  return slot
end
