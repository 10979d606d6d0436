-- Adds a page of rows to a batch that is being imported, with their columns. A repeated call adds nothing.
-- input:  KEYS    the batch, its importer, its countries, its lists, the names of its columns,
--                 the pages of columns of each list and of the rejected rows
--         ARGV    the importer's token, ms without a sign of life after which an importer counts as dead,
--                 how many rows and how many rejected rows the batch had before, the digest of all rows with these,
--                 how many of the rows belong to the first list, how many rows are rejected,
--                 the columns of each list's rows and of the rejected rows ('': none is kept),
--                 how many names of columns follow, these names, and the rows; each row begins with its country
-- output: 1; or 0 if another importer has taken over, or the import has ended
local batch_hash, importer_key, countries_key, first_list, second_list, names_key, first_pages, second_pages,
  rejected_pages = unpack(KEYS)
local token, silence_ms, rows_before, rejected_before, digest, first_count, rejected_count, first_page, second_page,
  rejected_page, names_count = unpack(ARGV, 3, 13)
local names, rows = {unpack(ARGV, 14, 13 + names_count)}, {unpack(ARGV, 14 + names_count)}
rows_before, rejected_before = tonumber(rows_before), tonumber(rejected_before)
first_count, rejected_count = tonumber(first_count), tonumber(rejected_count)

local holder = redis.call('GET', importer_key)
if holder and holder ~= token or redis.call('HGET', batch_hash, 'state') ~= 'importing' then return 0 end
local first_place, second_place = redis.call('LLEN', first_list), redis.call('LLEN', second_list)
local rows_now, rejected_now = first_place + second_place, tonumber(redis.call('HGET', batch_hash, 'rejected')) or 0
if rows_now ~= rows_before or rejected_now ~= rejected_before then
  local is_added = rows_now == rows_before + #rows and rejected_now == rejected_before + rejected_count
  return is_added and holder and 1 or 0
end

redis.call('SET', importer_key, token, 'PX', silence_ms)
redis.call('HSET', batch_hash, 'digest', digest)
if first_count > 0 then redis.call('RPUSH', first_list, unpack(rows, 1, first_count)) end
if first_count < #rows then redis.call('RPUSH', second_list, unpack(rows, first_count + 1)) end
if rejected_count > 0 then redis.call('HINCRBY', batch_hash, 'rejected', rejected_count) end
if first_page ~= '' then redis.call('HSET', first_pages, first_place, first_page) end
if second_page ~= '' then redis.call('HSET', second_pages, second_place, second_page) end
if rejected_page ~= '' then redis.call('HSET', rejected_pages, rejected_now, rejected_page) end
for _, name in ipairs(names) do redis.call('ZADD', names_key, 'NX', redis.call('ZCARD', names_key), name) end
local by_country = {}
for _, row in ipairs(rows) do
  local country = row:match('^%w*')
  by_country[country] = (by_country[country] or 0) + 1
end
for country, more in pairs(by_country) do redis.call('HINCRBY', countries_key, country .. ':rows', more) end
return 1
