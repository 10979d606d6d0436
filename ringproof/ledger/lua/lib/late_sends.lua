-- needs: clock, settings, pace, metrics
-- Slots for sends that have missed their own, by a few milliseconds on a busy machine.

-- Returns a slot (µs) for a send that has missed its own: as soon as it can send. Nil if it has to take a new one.
-- Nobody else can use the slot that was missed. A new one would cost the pace a whole spacing, and this one costs only
-- the delay, by which all slots that nobody has yet move. With N slots a window, that keeps each of them a window and
-- the jitter away from the N-th before it, as long as the N-th after the missed one is not reserved yet.
local function take_late(channel, missed)
  local is_call = channel == 'call'
  local bucket = is_call and 'call' or 'account'
  local period = rate_of(bucket, 'window') + config.jitter_us
  if missed > now_us or is_revoked(missed, channel) or pace[bucket] > missed + period then return nil end
  if not is_call and (pace.held_until or 0) > missed then return nil end  -- calls hold slots that would not move
  local slot = free_slot(is_call and pace.account or missed)
  local late = slot - missed
  if late >= spacing_us(bucket) then return nil end
  if is_call then  -- of the account's slots it takes a new one
    set_pace('account', slot + spacing_us('account'))
    set_pace('account_last', math.max(pace.account_last, slot))
  end
  set_pace(bucket, pace[bucket] + late)
  set_pace(bucket .. '_last', math.max(pace[bucket .. '_last'], slot))
  add_metric('slot - again ' .. channel, 1)
  return slot
end
