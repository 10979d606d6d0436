-- needs: clock, jumps
-- Notes that Redis' clock has jumped ahead a moment ago.
-- input:  ARGV    by how many ms, and how many ms ago the caller has measured the clock before the jump
-- output: 1, or 0 if another process has noted this jump since that measurement
local KEPT_MS = 3600000  -- by then no code, deadline or slot of before matters
local by, ago = tonumber(ARGV[3]), tonumber(ARGV[4])
for _, jump in ipairs(jumps_since(0)) do
  if jump.before + jump.by >= now - ago then return 0 end
end
redis.call('HDEL', jumps_key, '')  -- Redis allows this when it is out of memory, and then allows the next writes, too
redis.call('HSET', jumps_key, now - by, by)
redis.call('PEXPIRE', jumps_key, KEPT_MS)
return 1
