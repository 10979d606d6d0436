-- needs: record
-- Writes down that a page of Plivo's list was read, and that its content is in the records.
-- input:  KEYS    the scan, a hash as take_page describes it
--         ARGV    when the scan began, the page's offset, the next page's offset ('': this was the last one),
--                 the newest date on the page in ms (0: none), how many numbers there are (-1: unknown),
--                 and pairs of a result and how many of its numbers had that
-- output: 1, or 0 if another worker has read this page
local key = KEYS[1]
local began, offset, next_offset, page_newest, total = unpack(ARGV, 3)
local results = {unpack(ARGV, 8)}
local scan = read(key)
if scan.began ~= began or scan.offset ~= offset then return 0 end
for i = 1, #results, 2 do redis.call('HINCRBY', key, 'found:' .. results[i], results[i + 1]) end
redis.call('HDEL', key, 'trouble')
local newest = math.max(milliseconds(scan, 'newest'), tonumber(page_newest))
if next_offset ~= '' then
  redis.call('HSET', key, 'offset', next_offset, 'newest', newest, 'total', total)
  return 1
end
redis.call('HSET', key, 'looked', scan.began, 'total', total)
if newest > milliseconds(scan, 'mark') then redis.call('HSET', key, 'mark', newest) end
redis.call('HDEL', key, 'wanted', 'began', 'offset', 'newest')
return 1
