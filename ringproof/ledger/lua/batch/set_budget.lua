-- Gives a batch that has prices another budget. A batch that is paused goes on when it is resumed.
-- input:  KEYS    the batch that pays
--         ARGV    the budget in millionths
-- output: 1; or 0 if it has no prices
local batch_hash = KEYS[1]
local budget = ARGV[3]
if redis.call('HEXISTS', batch_hash, 'prices') == 0 then return 0 end
redis.call('HSET', batch_hash, 'budget', budget)
return 1
