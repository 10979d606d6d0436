-- needs: arguments, clock
-- Whether Redis still knows everything that its processes have seen: it may have been restored from an older AOF,
-- emptied, or replaced by a replica that lags. Then nothing is sent until they have reported what they remember:
-- the gate is closed.
-- The hash of `generation_key`, times in ms:
--   id, counter                 of this history: its name, and how many calls of begin have claimed numbers
--   server                      the run_id of the Redis server on which the history was last found whole
--   sign                        when a process has last compared what it has seen; up to SIGN_MS too early
--   member:ID                   the last sign of each process that remembers what it has sent; as exact
--   closed_at                   since when the gate is closed; absent: it is open
--   closing                     the last time that it was closed: once more, if Redis restarts meanwhile
--   closed_server               the server on which it was closed
--   awaits:ID, reported:ID      the members that have to report, with their last sign; and those that have
--   knew_until                  up to when Redis knows everything; 0: that is not known
--   last_sign                   the last sign before, as Redis had it; 0: it has none of this history
--   went_back                   1: some process has seen more than Redis knew
--   mended                      how many numbers were reported that Redis did not know, or not all of
--   lost_batches                batches of such numbers that Redis does not know, with '/' between them
--   opened_at, unreported       when the gate was opened, and how many processes had not reported
--   forgotten                   how many numbers are held, because a process has not reported
-- Each call of begin uses what is here. What happens when Redis has gone back is in lib/gate.
local generation_key = prefix .. ':generation'
local SIGN_MS = 500  -- a sign is written so often at most: the times that are compared with it differ by seconds

local generation = {}  -- its fields, as far as they were read

-- Returns the run_id of the server that runs this script; '' if its user may not know.
local function this_server()
  local info = redis.pcall('INFO', 'server')
  if type(info) ~= 'string' then return '' end
  local _, at = info:find('run_id:', 1, true)
  return at and info:sub(at + 1, at + 40) or ''
end

local function set_generation(fields)
  local flat = {}
  for field, value in pairs(fields) do
    generation[field] = tostring(value)
    flat[#flat + 1], flat[#flat + 2] = field, generation[field]
  end
  redis.call('HSET', generation_key, unpack(flat))
end

-- Whether the gate is open, and Redis surely knows what the caller has seen. `seen` is 'ID COUNTER'; '' if the caller
-- remembers nothing. `member` is its id. If not, `is_gate_closed` says more.
local function is_whole(seen, member)
  local id, counter, server, sign, own_sign, closed_at = unpack(redis.call(
    'HMGET', generation_key, 'id', 'counter', 'server', 'sign', 'member:' .. member, 'closed_at'))
  local is_same = id and not closed_at and this_server() == server
  if not is_same then return false end
  generation.id, generation.counter, generation.sign, generation.own_sign = id, counter, sign, own_sign
  local seen_id, seen_counter = seen:match('^(%x+) (%d+)$')
  return not seen_id or seen_id == id and tonumber(seen_counter) <= tonumber(counter)
end

-- Notes a sign of a member.
local function note_sign(member)
  local fields = {sign = now}
  if member ~= '' then fields['member:' .. member] = now end
  set_generation(fields)
end

-- Notes another call that has claimed numbers. It is a sign of its member, too.
local function count_claim(member)
  generation.counter = redis.call('HINCRBY', generation_key, 'counter', 1)
  local last = generation.sign
  if member ~= '' then last = generation.own_sign end
  if math.abs(now - (tonumber(last or 0) or 0)) >= SIGN_MS then note_sign(member) end
end

-- Returns what a caller has seen now: 'ID COUNTER'.
local function seen_now()
  return (generation.id or '') .. ' ' .. (generation.counter or 0)
end
