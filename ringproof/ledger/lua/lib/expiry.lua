-- needs: settings, locks, changes
-- How long a record is kept after its request has ended.

-- Has a record expire after `record_ms`, but not while something counts: calls for a week, wrong codes for a month.
local function expire_record(key)
  write_hash(key)
  local calls_count_ms = redis.call('HEXISTS', key, 'calls') == 1 and 7 * DAY_MS or 0
  local wrong_codes_count_ms = redis.call('HEXISTS', key, 'wrong') == 1 and WRONG_CODES_COUNT_MS or 0
  redis.call('PEXPIRE', key, math.max(config.record_ms, calls_count_ms, wrong_codes_count_ms))
end
