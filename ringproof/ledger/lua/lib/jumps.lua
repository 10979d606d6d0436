-- needs: arguments, clock
-- Redis' clock may jump ahead, and a Redis may take over whose clock is ahead. Then the times of everything that was
-- written before come too early. A process that notices a jump notes it, and a script that reads something older moves
-- its times.
-- The hash of `jumps_key`, in ms: the last moment before a jump -> its length.
local jumps_key = prefix .. ':jumps'

local jumps = {}
do
  local flat = redis.call('HGETALL', jumps_key)
  for i = 1, #flat, 2 do
    local jump = {before = tonumber(flat[i]), by = tonumber(flat[i + 1])}
    if jump.before + jump.by <= now then
      jumps[#jumps + 1] = jump
    else
      redis.call('HDEL', jumps_key, flat[i])  -- the clock was set right since
    end
  end
  table.sort(jumps, function(one, other) return one.before < other.before end)
end

-- Returns the jumps since this change (ms), the earliest first.
local function jumps_since(changed_at)
  local since = {}
  for _, jump in ipairs(jumps) do
    if jump.before >= changed_at then since[#since + 1] = jump end
  end
  return since
end
