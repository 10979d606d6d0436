-- needs: outbox, delivery
-- Gives a consumer's lease back.
-- input:  ARGV    the consumer, the dispatcher's fence
-- output: none
local name, fence = unpack(ARGV, 3)
if redis.call('HGET', consumers_key, field_of(name, 'fence')) == fence then
  redis.call('HDEL', consumers_key, field_of(name, 'fence'), field_of(name, 'lease_until'))
end
