-- needs: clock, record, reverification
-- mend: the slow hand. Puts an unfinished record that has no entry on the agenda back, due at once; and one that is to be
-- asked about again among the renewals, when it has a period now and had none, or a verified one had a longer one.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7…] - records   ARGV[3…] - their numbers
-- output: how many were put back

-- When it falls due, if that is to be put down; nil if it is to be left as it is.
local function lost_turn(record, number)
  if not renewable(record) or record.reason == 'lapsed' then return nil end
  local proven = math.max(milliseconds(record, 'verified_at'), milliseconds(record, 'checked_at'))
  local due_at = falls_due(record, number, proven)
  if due_at and due_at < now then due_at = falls_due(record, number, now) end  -- not all of them at once
  local kept = redis.call('ZSCORE', renewals_key, number)
  if kept and (record.state ~= 'verified' or due_at and tonumber(kept) <= due_at) then return nil end
  return due_at
end

local mended = 0
for i = 7, #KEYS do
  local number = ARGV[i - 4]
  local state = redis.call('HGET', KEYS[i], 'state')
  local final = not state or state == 'verified' or state == 'expired' or state == 'failed' or state == 'cancelled'
  if not final and not redis.call('ZSCORE', KEYS[1], number) then
    redis.call('ZADD', KEYS[1], now, number)
    mended = mended + 1
  elseif final and state then
    local due_at = lost_turn(read(KEYS[i]), number)
    if due_at then
      redis.call('PERSIST', KEYS[i])
      ask_again(number, due_at)
      mended = mended + 1
    end
  end
end
return mended
