-- needs: damage, record, batch_state, batch_rows
-- Erases a number in a row of a batch. The row of the number's record is left: number/erase erases that one.
-- input:  KEYS    the number's record, the list
--         ARGV    the batch's name, the list's name, place, country, and the row as the caller has read it
-- output: 1; or 0 if the row is left, or its place has another row by now
local record_of_number, rows_key = unpack(KEYS)
local name, list, place, country, row = unpack(ARGV, 3)
local is_of_record = unless_damaged(record_of_number, function()
  local record = read(record_of_number)
  return is_row(record) and record.batch == name and record.row == table.concat({list, place, country}, ':')
end)
if is_of_record then return 0 end
if redis.call('LINDEX', rows_key, place) ~= row then return 0 end
blank_row(name, list, place, country)
return 1
