-- mend: the slow hand. Puts an unfinished record that has no entry on the agenda back, due at once; and a verified one
-- among the renewals, when it has a period now and had none, or a longer one.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7…] - records   ARGV[3…] - their numbers
-- output: how many were put back
local mended = 0
for i = 7, #KEYS do
  local number = ARGV[i - 4]
  local state = redis.call('HGET', KEYS[i], 'state')
  local final = not state or state == 'verified' or state == 'expired' or state == 'failed' or state == 'cancelled'
  if not final and not redis.call('ZSCORE', KEYS[1], number) then
    redis.call('ZADD', KEYS[1], now, number)
    mended = mended + 1
  elseif state == 'verified' then
    local record = read(KEYS[i])
    local proven = math.max(milliseconds(record, 'verified_at'), milliseconds(record, 'checked_at'))
    local due_at = falls_due(record, number, proven)
    if due_at and due_at < now then due_at = falls_due(record, number, now) end  -- not all of them at once
    local kept = redis.call('ZSCORE', renewals_key, number)
    if due_at and not (kept and tonumber(kept) <= due_at) then
      ask_again(number, due_at)
      mended = mended + 1
    end
  end
end
return mended
