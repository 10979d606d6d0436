-- batch_put: puts a page of rows into a batch that is imported; told again, it counts once.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the batch   KEYS[8] - who imports it   KEYS[9] - its countries
--         KEYS[10…11] - its lists   ARGV[3] - token   ARGV[4] - ms without a word until it counts as dead
--         ARGV[5] - how many rows were in it before   ARGV[6] - digest of the rows with these
--         ARGV[7] - how many of the rows are for the first list   ARGV[8…] - the rows, each begins with its country
-- output: 1; or 0 if somebody else imports it, or has
local holder = redis.call('GET', KEYS[8])
if holder and holder ~= ARGV[3] or redis.call('HGET', KEYS[7], 'state') ~= 'importing' then return 0 end
local before, new = tonumber(ARGV[5]), #ARGV - 7
local rows = redis.call('LLEN', KEYS[10]) + redis.call('LLEN', KEYS[11])
if rows ~= before then return rows == before + new and holder and 1 or 0 end

redis.call('SET', KEYS[8], ARGV[3], 'PX', ARGV[4])
redis.call('HSET', KEYS[7], 'digest', ARGV[6])
local split = 7 + tonumber(ARGV[7])
if split >= 8 then redis.call('RPUSH', KEYS[10], unpack(ARGV, 8, split)) end
if split < #ARGV then redis.call('RPUSH', KEYS[11], unpack(ARGV, split + 1)) end
local countries = {}
for i = 8, #ARGV do
  local country = ARGV[i]:match('^%w*')
  countries[country] = (countries[country] or 0) + 1
end
for country, more in pairs(countries) do redis.call('HINCRBY', KEYS[9], country .. ':rows', more) end
return 1
