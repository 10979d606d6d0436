-- needs: states, changes, record, transition, schema
-- Cancels requests that have not begun.
-- input:  KEYS    the numbers' records
--         ARGV    for each record its number, its request, and the lane of the request
-- output: how many were cancelled: not those that have begun or ended, were replaced, or are in another lane by now
local cancelled = 0
for i, key in ipairs(KEYS) do
  local number, request, lane = unpack(ARGV, 3 * i, 3 * i + 2)
  local record = read(key)
  if UNBEGUN[record.state] and record.request == request and record.lane == lane and not is_newer(record) then
    drop(key, 'due_at', 'detail')
    set_state(key, record, number, 'cancelled', '')
    cancelled = cancelled + 1
  end
end
return cancelled
