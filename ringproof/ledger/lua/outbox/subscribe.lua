-- needs: clock, outbox
-- Has a consumer get all events from now on, or notes that it still wants them. `NAME:seen` (ms) is its last sign. A
-- consumer whose place Redis keeps has `NAME:cursor`, the id of the last entry that it has taken.
-- input:  ARGV    the consumer, '1' if Redis keeps its place
-- output: none
local name, has_place = unpack(ARGV, 3)
if has_place == '1' and redis.call('HEXISTS', consumers_key, name .. ':cursor') == 0 then
  local newest = redis.call('XREVRANGE', outbox_key, '+', '-', 'COUNT', 1)[1]
  redis.call('HSET', consumers_key, name .. ':cursor', newest and newest[1] or '0-0')
end
redis.call('HSET', consumers_key, name .. ':seen', now)
