-- needs: clock, record, tombstone, request
-- Decides about numbers as feed would if they came in a roster now, and writes nothing.
-- input:  KEYS    the numbers' records
--         ARGV    the roster's column of the table, ms until a request's deadline,
--                 JSON, for each record: {number, channel, country, is_personal}
-- output: for each record the disposition of such a row
local column, lasts_ms, rows_json = unpack(ARGV, 3)
local answers = parse_answers(column)

-- Returns the record; for an erased number, what feed would find of it.
local function record_of(key, number)
  local record = read(key)
  local left = not record.state and read_tombstone(number)
  if left and left.request then left.state = 'expired' end  -- a code of it may be live
  return left or record
end

local dispositions = {}
for i, row in ipairs(cjson.decode(rows_json)) do
  local asked = {
    answers = answers, lane = 'bulk', channel = row.channel, country = row.country,
    is_personal = row.is_personal, is_of_batch = true, ends_at = now + tonumber(lasts_ms),
  }
  dispositions[i] = decide(record_of(KEYS[i], row.number), row.number, asked).disposition
end
return dispositions
