-- Adds a page of rows to a batch that is being imported. A repeated call adds nothing.
-- input:  KEYS    the batch, its importer, its countries, its lists
--         ARGV    the importer's token, ms without a sign of life after which an importer counts as dead,
--                 how many rows the batch had before, the digest of all rows with these,
--                 how many of the rows belong to the first list, and the rows; each begins with its country
-- output: 1; or 0 if another importer has taken over, or the import has ended
local batch_hash, importer_key, countries_key, first_list, second_list = unpack(KEYS, 7)
local token, silence_ms, rows_before, digest, first_count = unpack(ARGV, 3)
local rows = {unpack(ARGV, 8)}
rows_before, first_count = tonumber(rows_before), tonumber(first_count)

local holder = redis.call('GET', importer_key)
if holder and holder ~= token or redis.call('HGET', batch_hash, 'state') ~= 'importing' then return 0 end
local rows_now = redis.call('LLEN', first_list) + redis.call('LLEN', second_list)
if rows_now ~= rows_before then return rows_now == rows_before + #rows and holder and 1 or 0 end

redis.call('SET', importer_key, token, 'PX', silence_ms)
redis.call('HSET', batch_hash, 'digest', digest)
if first_count > 0 then redis.call('RPUSH', first_list, unpack(rows, 1, first_count)) end
if first_count < #rows then redis.call('RPUSH', second_list, unpack(rows, first_count + 1)) end
local by_country = {}
for _, row in ipairs(rows) do
  local country = row:match('^%w*')
  by_country[country] = (by_country[country] or 0) + 1
end
for country, more in pairs(by_country) do redis.call('HINCRBY', countries_key, country .. ':rows', more) end
return 1
