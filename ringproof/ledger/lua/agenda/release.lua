-- needs: arguments, clock, changes, damage, record, transition, destinations, countries, pauses, schema
-- Queues numbers that wait for their destination: all of them once Plivo takes codes there again, one for each try
-- while it does not, and one in all as the last resort for a probe of the account.
-- input:  ARGV    numbers at most
-- output: how many were queued; the caller has the agenda worked off next, which enqueues them
local most = tonumber(ARGV[3])
local released = 0

local function release(name, count)
  local members = redis.call('ZRANGEBYLEX', waiting_key, '[' .. name .. '/', '(' .. name .. '0', 'LIMIT', 0, count)
  for _, member in ipairs(members) do
    local number = member:match('[^/]+$')
    local key = key_of_record(number)
    local is_whole = unless_damaged(key, function()
      local record = read(key)
      if is_newer(record) then return nil end  -- a newer worker goes on with it
      if record.reason == 'refused' and milliseconds(record, 'ends_at') > now then
        drop(key, 'due_at', 'detail')
        set_state(key, record, number, 'queued', '', now)
        released = released + 1
      end
      return true
    end)
    redis.call('ZREM', waiting_key, member)
    if not is_whole then set_agenda(number, now) end
  end
end

local function count_for(name)
  -- Numbers that the list of countries leaves out need no try: begin ends their requests.
  if is_closed(name) and not left_out_as(name, name) then return may_be_tried(name) and 1 or 0 end
  return most - released
end

-- Calls `visit` with each destination that has waiting numbers, in alphabetical order ('0' comes after '/').
local function each_destination(visit)
  local from = '-'
  while released < most do
    local member = redis.call('ZRANGEBYLEX', waiting_key, from, '+', 'LIMIT', 0, 1)[1]
    if not member then return end
    local name = member:match('^[^/]+')
    visit(name)
    from = '(' .. name .. '0'
  end
end

if paused_until('interactive') then return 0 end
if not pauses.account then
  each_destination(function(name) release(name, count_for(name)) end)
elseif is_last_resort() then
  most = 1
  if pauses.account_destination then release(pauses.account_destination, 1) end
  each_destination(function(name) release(name, count_for(name)) end)
end
return released
