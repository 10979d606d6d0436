-- needs: clock
-- Redis' clock may be set back, and a Redis may take over whose clock is behind. It shows where something was changed
-- later than now: what that change wrote are times that come too late, by an hour, say.
local SMALLEST_STEP_MS = 1000  -- smaller steps do no harm

-- Returns by how much (ms) the clock was set back, at least, since this change (ms); 0 if it was not.
local function set_back_since(changed_at)
  local by = changed_at - now
  return by > SMALLEST_STEP_MS and by or 0
end
