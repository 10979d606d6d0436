-- needs: record
-- looked: a page of Plivo's list was read, and what it says is in the records.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the look, as look.lua has it
--         ARGV[3] - when the look began   ARGV[4] - the page's offset
--         ARGV[5] - the next page's offset ('': that was the last one that is wanted)
--         ARGV[6] - the newest date on the page, in ms (0: none)   ARGV[7] - how many numbers there are (-1: unknown)
--         ARGV[8…] - what became of its numbers: a word, and of how many
-- output: 1, or 0 if somebody else has read this page
local key = KEYS[7]
local look = read(key)
if look.began ~= ARGV[3] or look.offset ~= ARGV[4] then return 0 end
for i = 8, #ARGV, 2 do redis.call('HINCRBY', key, 'found:' .. ARGV[i], ARGV[i + 1]) end
redis.call('HDEL', key, 'trouble')
local newest = math.max(milliseconds(look, 'newest'), tonumber(ARGV[6]))
if ARGV[5] ~= '' then
  redis.call('HSET', key, 'offset', ARGV[5], 'newest', newest, 'total', ARGV[7])
  return 1
end
redis.call('HSET', key, 'looked', look.began, 'total', ARGV[7])
if newest > milliseconds(look, 'mark') then redis.call('HSET', key, 'mark', newest) end
redis.call('HDEL', key, 'wanted', 'began', 'offset', 'newest')
return 1
