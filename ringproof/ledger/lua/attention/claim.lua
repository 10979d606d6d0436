-- needs: clock
-- Claims accounts that need attention now, the one first that has waited longest.
-- input:  KEYS    the accounts with work
--         ARGV    accounts at most; ms after which a claim ends: then its worker has died
-- output: for each one: its name; the score of the claim; 1 if nobody has noted it since its last visit
local most, lease_ms = ARGV[3], tonumber(ARGV[4])
local claimed, claim = {}, string.format('%.0f', now + lease_ms)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
for i = 1, #due, 2 do
  claimed[#claimed + 1] = {due[i], claim, tonumber(due[i + 1]) % 1 > 0 and 1 or 0}
  redis.call('ZADD', KEYS[1], claim, due[i])
end
return claimed
