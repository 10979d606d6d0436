-- needs: settings
-- How long a record is kept after its request has ended.

-- Has a record expire after `record_ms`, and after a week if its calls count: the weekly cap must see them.
local function expire_record(key)
  local calls_count_ms = redis.call('HEXISTS', key, 'calls') == 1 and 7 * DAY_MS or 0
  redis.call('PEXPIRE', key, math.max(config.record_ms, calls_count_ms))
end
