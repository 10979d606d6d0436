-- needs: clock, outbox, delivery
-- Has a consumer get all events from now on, or notes that it still wants them.
-- input:  ARGV    the consumer; a digest of its address: if it is another one, a refusal for good (410) ends ('': none)
-- output: none
local name, address = unpack(ARGV, 3)
if redis.call('HEXISTS', consumers_key, field_of(name, 'cursor')) == 0 then
  local newest = redis.call('XREVRANGE', outbox_key, '+', '-', 'COUNT', 1)[1]
  redis.call('HSET', consumers_key, field_of(name, 'cursor'), newest and newest[1] or '0-0')
end
redis.call('HSET', consumers_key, field_of(name, 'seen'), now)
local gone = redis.call('HGET', consumers_key, field_of(name, 'gone'))
if gone and gone ~= address then redis.call('HDEL', consumers_key, field_of(name, 'gone')) end
