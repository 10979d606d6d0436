-- needs: clock, row_bytes, settings, batch_rows
-- batch_steer: a person pauses, resumes or cancels a batch. What is not fed yet heeds it at once; each record when its
-- turn comes, or when the feeder has told it (`heed`: from which row on it has yet to, and since when).
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the batch   KEYS[8] - batches that are fed
--         KEYS[9], [10], [11] - a list, its row bytes, the places that are fed again   KEYS[12…14] - the other's
--         KEYS[15] - counts   KEYS[16] - countries
--         ARGV[3] - name   ARGV[4] - pause, resume or cancel   ARGV[5…6] - what the lists are called
-- output: its state now ('': no such batch)
local name, word = ARGV[3], ARGV[4]
local state = redis.call('HGET', KEYS[7], 'state')
if not state then return '' end

local function cancel_the_unfed(first, list)
  local rows, cursor = redis.call('LLEN', KEYS[first]), tonumber(redis.call('HGET', KEYS[7], 'cursor:' .. list)) or 0
  local unfed = rows - cursor
  if unfed > 0 then
    redis.call('SETRANGE', KEYS[first + 1], cursor, string.rep(BYTES.cancelled, unfed))
    redis.call('HSET', KEYS[7], 'cursor:' .. list, rows)
  end
  if redis.call('DEL', KEYS[first + 2]) == 1 then  -- what is fed again has no byte, before the cursor as after it
    local bytes, again = redis.call('GETRANGE', KEYS[first + 1], 0, -1):gsub('%z', BYTES.cancelled)
    redis.call('SETRANGE', KEYS[first + 1], 0, bytes)
    unfed = unfed + again
  end
  if unfed > 0 then redis.call('HINCRBY', KEYS[15], list .. ':cancelled', unfed) end
  return unfed
end

local function cancel_their_countries()
  local left, flat = {}, redis.call('HGETALL', KEYS[16])
  for i = 1, #flat, 2 do
    local country, outcome = flat[i]:match('^(.-):(.+)$')
    left[country] = (left[country] or 0) + (outcome == 'rows' and 1 or -1) * tonumber(flat[i + 1])
  end
  for country, unfed in pairs(left) do
    if unfed > 0 then redis.call('HINCRBY', KEYS[16], country .. ':cancelled', unfed) end
  end
end

local told_from_the_first = string.format('%s:0:%.0f', ARGV[5], now_us)
if word == 'pause' and state == 'running' then
  state = 'paused'
  redis.call('HSET', KEYS[7], 'state', state)
elseif word == 'resume' and state == 'paused' then
  state = 'running'
  redis.call('HSET', KEYS[7], 'state', state, 'heed', told_from_the_first)
  if redis.call('HGET', KEYS[7], 'open') == '0' then
    complete(name)
    state = 'completed'
  end
elseif word == 'cancel' and (state == 'running' or state == 'paused') then
  state = 'cancelled'
  redis.call('HSET', KEYS[7], 'state', state, 'heed', told_from_the_first)
  local unfed = cancel_the_unfed(9, ARGV[5]) + cancel_the_unfed(12, ARGV[6])
  cancel_their_countries()
  if unfed > 0 then redis.call('HINCRBY', KEYS[7], 'open', -unfed) end
  keep_batch(name, facts.record_ms)
end
return state
