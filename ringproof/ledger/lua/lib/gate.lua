-- needs: clock, settings, pauses, pace, generation
-- The gate: it is closed while Redis may have gone back, until the processes have reported what they remember
-- (lib/generation). Then nothing is sent.
local NOTICED_MS = 1500           -- all that live notice within a second that the gate is closed
local TOGETHER_MS = 3000          -- a process gives a sign each second: one that was silent for longer before the last
                                  -- sign of all has died before, and Redis has all that it did
local MARGIN_MS = 10000           -- what is so much older than `knew_until` is known
local READ = {'id', 'counter', 'server', 'sign', 'closed_at', 'closed_server', 'closing', 'knew_until', 'last_sign'}

local function generation_field(name)
  return redis.call('HGET', generation_key, name) or nil
end

local function fields_with(start)
  local found, flat = {}, redis.call('HGETALL', generation_key)
  for i = 1, #flat, 2 do
    if flat[i]:sub(1, #start) == start then found[flat[i]:sub(#start + 1)] = tonumber(flat[i + 1]) or 0 end
  end
  return found
end

-- Closes the gate, because Redis may have gone back. It knows everything up to `knew_until` (ms; 0: unknown), and its
-- last sign of this history is `sign` (0: none).
local function close_gate(server, knew_until, sign, went_back)
  local again = generation.closed_at
  local awaited = fields_with('awaits:')
  local members, last_sign = fields_with('member:'), knew_until
  for id, sign in pairs(members) do
    redis.call('HDEL', generation_key, 'member:' .. id)
    last_sign = knew_until > 0 and math.max(last_sign, sign) or 0
  end
  for id, sign in pairs(members) do
    if sign >= last_sign - TOGETHER_MS then awaited[id] = sign end
  end
  -- What was reported meanwhile may be lost again.
  local known = again and math.min(tonumber(generation.knew_until) or 0, last_sign) or last_sign
  for id in pairs(fields_with('reported:')) do redis.call('HDEL', generation_key, 'reported:' .. id) end
  if not again then
    redis.call('HDEL', generation_key, 'went_back', 'mended', 'lost_batches', 'opened_at', 'unreported', 'forgotten')
  end
  set_generation({
    id = generation.id or redis.sha1hex(now_us .. server):sub(1, 12), counter = generation.counter or 0, sign = now,
    closed_at = again or now, closing = math.max(now, (tonumber(generation.closing) or 0) + 1),
    closed_server = server, knew_until = known, last_sign = again and generation.last_sign or sign,
  })
  if went_back then set_generation({went_back = 1}) end
  for id, sign in pairs(awaited) do set_generation({['awaits:' .. id] = sign}) end
  -- Questions wait, too: Redis may not know which slots were used.
  set_pace('account', math.max(pace.account, now_us + NOTICED_MS * 1000))
  save_pace()
end

-- Compares what the caller has seen with what Redis knows, and closes the gate if they differ. `seen` is 'ID COUNTER';
-- '' if the caller remembers nothing. Returns whether the gate is closed.
local function is_gate_closed(seen)
  for i, value in ipairs(redis.call('HMGET', generation_key, unpack(READ))) do generation[READ[i]] = value or nil end
  local seen_id, seen_counter = seen:match('^(%x+) (%d+)$')
  local server = this_server()
  if not generation.id and not seen_id then
    set_generation({id = redis.sha1hex(now_us .. server):sub(1, 12), counter = 0, server = server, sign = now})
    return false
  end
  local is_of_other = seen_id and seen_id ~= generation.id  -- Redis was emptied since
  local knows_less = is_of_other or seen_id and tonumber(seen_counter) > tonumber(generation.counter)
  local sign = is_of_other and 0 or tonumber(generation.sign) or 0
  if generation.closed_at then
    if server ~= '' and generation.closed_server ~= server then
      close_gate(server, sign, sign, knows_less)
    elseif knows_less then
      set_generation({went_back = 1})
    end
    return true
  end
  local is_another = server ~= '' and (generation.server or '') ~= '' and generation.server ~= server
  if is_another or knows_less then
    -- On another server nobody gives a sign without comparing first. On the same one, who remembers nothing may have.
    close_gate(server, is_another and sign or 0, sign, knows_less)
    return true
  end
  if server ~= '' and (generation.server or '') == '' then set_generation({server = server}) end
  return false
end

-- Makes the counter what a process has seen, once it has reported what it remembers.
local function raise_counter(seen)
  local seen_id, counter = seen:match('^(%x+) (%d+)$')
  if seen_id == generation.id and tonumber(counter) > tonumber(generation.counter) then
    set_generation({counter = counter})
  end
end

-- Opens the gate if all have reported, or if their leases have passed. Returns whether it is open.
local function open_gate()
  if now < tonumber(generation.closing) + NOTICED_MS then return false end
  local unreported = 0
  for _ in pairs(fields_with('awaits:')) do unreported = unreported + 1 end
  local closed_at = tonumber(generation.closed_at)
  if unreported > 0 and now < closed_at + config.lease_ms then return false end
  for id in pairs(fields_with('awaits:')) do redis.call('HDEL', generation_key, 'awaits:' .. id) end
  for id in pairs(fields_with('reported:')) do redis.call('HDEL', generation_key, 'reported:' .. id) end
  redis.call('HDEL', generation_key, 'closed_at', 'closed_server')
  set_generation({server = generation.closed_server, opened_at = now, unreported = unreported})
  if unreported > 0 then
    -- Until then a code may live that nobody remembers: one more lease, because who did not report may still send.
    set_pauses({
      forgotten = closed_at, forgotten_before = math.floor(closed_at / 1000),
      forgotten_ends = closed_at + config.lease_ms + config.code_ms + config.code_margin_ms,
    })
  end
  generation.closed_at = nil
  return true
end

-- Returns for a caller what to remember, and what to do: 'ID COUNTER'; the closing (0: the gate is open); and how long
-- ago (ms) something may have happened that Redis does not know (-1: at any time).
local function generation_for_caller()
  local seen = seen_now()
  if not generation.closed_at then return seen, 0, 0 end
  local knew_until = tonumber(generation.knew_until) or 0
  return seen, tonumber(generation.closing), knew_until > 0 and now - knew_until + MARGIN_MS or -1
end
