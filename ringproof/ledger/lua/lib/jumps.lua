-- needs: arguments, clock, set_back
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
    local set_back_by = math.max(jump.before + jump.by - now, 0)  -- at least
    if set_back_by > jump.by / 2 then
      redis.call('HDEL', jumps_key, flat[i])  -- the clock was set right since
    else
      jump.by = jump.by - set_back_by
      jumps[#jumps + 1] = jump
      if set_back_by > 0 then redis.call('HSET', jumps_key, flat[i], jump.by) end
    end
  end
  table.sort(jumps, function(one, other) return one.before < other.before end)
end

-- Whether the clock has jumped since this change (ms).
local function has_jumped_since(changed_at)
  local last = jumps[#jumps]
  return last ~= nil and last.before >= changed_at
end

-- Returns the jumps since this change (ms), the earliest first.
local function jumps_since(changed_at)
  local since = {}
  for _, jump in ipairs(jumps) do
    if jump.before >= changed_at then since[#since + 1] = jump end
  end
  return since
end

-- Returns where a time (ms) of something that was last changed then (ms) is by the clock as it goes now.
local function moved_time(at, changed_at)
  local by = set_back_since(changed_at)
  if by > 0 then return at > now and at - by or at end
  for _, jump in ipairs(jumps_since(changed_at)) do
    if at > jump.before then at = at + jump.by end
  end
  return at
end
