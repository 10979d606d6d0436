-- needs: clock, settings, changes, record, reverification, pauses, schema
-- Claims a number that is due for re-verification, for a minute: no other worker asks about it until then.
-- input:  KEYS    the number's record
--         ARGV    number (E.164)
-- output: the record's fields; none if the number is not due any more, another worker has claimed it, or the lane
--         scheduled is paused by now, or Plivo does not know the caller's credentials
local key, number = KEYS[1], ARGV[3]
local record, flat = read(key)
local due_at = tonumber(redis.call('ZSCORE', renewals_key, number) or nil)
if is_newer(record) then return {} end
local is_due = due_at and due_at <= now + config.enqueue_again_longest_ms and can_reverify(record)
if not is_due then return {} end
local claimed_for = milliseconds(record, 'claimed_until') - now  -- longer than a claim: Redis' clock was set back
if claimed_for > 0 and claimed_for <= config.look_up_ms then return {} end
if paused_until('scheduled') or leaves_work() then return {} end
put(key, 'claimed_until', now + config.look_up_ms)
return flat
