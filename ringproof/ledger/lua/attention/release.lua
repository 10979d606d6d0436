-- needs: clock
-- Ends the claim of an account. If it was noted meanwhile, it stays due.
-- input:  KEYS    the accounts with work
--         ARGV    the account; the score of the claim; ms until its next visit ('': it needs none)
local account, claim, after_ms = unpack(ARGV, 3)
local score = redis.call('ZSCORE', KEYS[1], account)
if not score or tonumber(score) ~= tonumber(claim) then return end
if after_ms == '' then
  redis.call('ZREM', KEYS[1], account)
else
  -- The half shows that nobody has noted it since: a note has a whole number.
  redis.call('ZADD', KEYS[1], string.format('%.1f', now + tonumber(after_ms) + 0.5), account)
end
