-- Notes in a batch the name of the batch that asks its unanswered numbers again, unless the batch has expired.
-- input:  KEYS    the batch
--         ARGV    the name of the other batch
-- output: none
local batch_hash = unpack(KEYS)
local name = unpack(ARGV, 3)
if redis.call('HEXISTS', batch_hash, 'state') == 1 then redis.call('HSET', batch_hash, 'resent_as', name) end
