-- needs: batch_rows
-- Cancels rows of a batch that the feeder has not fed. It passes them over.
-- input:  KEYS    the batch, the list's bytes
--         ARGV    the batch's name, the list's name, and for each row its place and its country
-- output: how many were cancelled: those that were still pending
local batch_hash = KEYS[1]
local name, list = unpack(ARGV, 3)
local state = redis.call('HGET', batch_hash, 'state')
if state ~= 'running' and state ~= 'paused' then return 0 end
local cancelled = 0
for i = 5, #ARGV, 2 do
  local place, country = unpack(ARGV, i, i + 1)
  local byte = byte_of(name, list, place)
  if byte == '' or byte == '\0' then
    set_row_outcome(name, list, place, country, 'cancelled')
    cancelled = cancelled + 1
  end
end
return cancelled
