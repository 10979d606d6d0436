-- needs: clock, settings, record, reverification, pauses
-- renew_claim: takes the turn to ask about a number that is due, for a minute; it is nobody else's until then.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the number's record   ARGV[3] - number, E.164
-- output: the record's fields; none if it is not due any more, another has the turn, or the lane is paused by now
local key, number = KEYS[7], ARGV[3]
local record, flat = read(key)
local due_at = tonumber(redis.call('ZSCORE', renewals_key, number) or nil)
if not due_at or due_at > now + facts.enqueue_again_longest_ms or not renewable(record) then return {} end
if milliseconds(record, 'claimed_until') > now then return {} end
if paused('scheduled') then return {} end
redis.call('HSET', key, 'claimed_until', now + facts.look_up_ms)
return flat
