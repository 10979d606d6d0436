-- needs: clock, delivery
-- Has events delivered to a consumer once more, behind those of the same number that wait already.
-- input:  KEYS    the consumer's waiting events, their next tries
--         ARGV    for each event its subject and its id
-- output: how many: not those that wait already
local waiting_key, due_key = unpack(KEYS)
local count = 0
for i = 3, #ARGV, 2 do
  local subject, id = ARGV[i], ARGV[i + 1]
  local tries, ids = waiting_events(waiting_key, subject)
  local is_waiting = false
  for _, other in ipairs(ids) do is_waiting = is_waiting or other == id end
  if not is_waiting and content_of(id) then
    ids[#ids + 1] = id
    count = count + 1
  end
  set_waiting(waiting_key, due_key, subject, tries, ids, now)
end
return count
