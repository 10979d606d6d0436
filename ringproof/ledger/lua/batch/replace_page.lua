-- Replaces a page of kept columns by one without a number, which is being erased.
-- input:  KEYS    the pages
--         ARGV    the place of the page's first row, the page as the caller has read it, the new page
-- output: 1; or 0 if another page is there
local pages_key = unpack(KEYS)
local first, page, new_page = unpack(ARGV, 3)
if redis.call('HGET', pages_key, first) ~= page then return 0 end
redis.call('HSET', pages_key, first, new_page)
return 1
