-- needs: record
-- unconfirm: Plivo has not verified a number by the code for which it was asked.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the number's record
--         ARGV[3] - handle   ARGV[4] - how often one code may be entered
--         ARGV[5] - '1' if it was surely not asked: then the try does not count
-- output: tries left
local record = read(KEYS[7])
local tries = tonumber(record.tries) or 0
if record.confirm == ARGV[3] and not used(record) then
  redis.call('HDEL', KEYS[7], 'confirm')
  if ARGV[5] == '1' then
    tries = tries - 1
    redis.call('HSET', KEYS[7], 'tries', tries)
  end
end
return tonumber(ARGV[4]) - tries
