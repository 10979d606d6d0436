-- needs: clock
-- Notes that an account needs attention now. One that has waited for longer keeps its place before it.
-- input:  KEYS    the accounts with work
--         ARGV    the account
redis.call('ZADD', KEYS[1], 'LT', now, ARGV[3])
