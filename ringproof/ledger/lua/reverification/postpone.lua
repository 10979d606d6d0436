-- needs: record, reverification
-- renew_later: a number that cannot be asked about, for its own sake, waits for its next turn.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the number's record   ARGV[3] - number, E.164
-- output: none
local key, number = KEYS[7], ARGV[3]
local record = read(key)
if not renewable(record) then return end
redis.call('HDEL', key, 'by_hand', 'claimed_until')
put_off(key, record, number)
