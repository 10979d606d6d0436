-- needs: metrics
-- Adds what a process has counted itself, once.
-- input:  KEYS    the caller's token
--         ARGV    ms for which the token is remembered; fields of the metrics, each with its count
-- output: 1; or 0 if a call with this token has added them before
if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[3]) then return 0 end
for i = 4, #ARGV, 2 do add_metric(ARGV[i], tonumber(ARGV[i + 1])) end
return 1
