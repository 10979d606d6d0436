-- needs: record, batch_state, batch_rows
-- erase_row: forgets a number in a row of a batch, unless the number's record goes by that row.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the number's record   KEYS[8] - the list
--         ARGV[3] - the batch's name   ARGV[4] - the list, which is the channel   ARGV[5] - place   ARGV[6] - country
--         ARGV[7] - the row as it was read
-- output: 1, or 0 if that is not what is there
local name, list, place, country = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local record = read(KEYS[7])
if is_row(record) and record.batch == name and record.row == table.concat({list, place, country}, ':') then return 0 end
if redis.call('LINDEX', KEYS[8], place) ~= ARGV[7] then return 0 end
blank_row(name, list, place, country)
return 1
