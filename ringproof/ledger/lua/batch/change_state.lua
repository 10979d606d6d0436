-- needs: clock, batch_tables, settings, batch_state, budget, batch_rows
-- Pauses, resumes or cancels a batch, for an operator. Rows that were not fed change at once. A record changes when
-- begin or the sweep next looks at it, or when the feeder notifies it. The batch's `notify_from` is LIST:PLACE:TIME,
-- the next row that the feeder has to notify, and when (µs) the operator gave the command.
-- input:  KEYS    the batch; the batches that are fed; of each list: the rows, their bytes, the places of its retries;
--                 the counts; the countries
--         ARGV    name, pause, resume or cancel, the names of the lists
-- output: the batch's state now ('': there is no such batch). One whose budget is spent is not resumed.
local batch_hash, feeding_key, sms_rows, sms_bytes, sms_retries, call_rows, call_bytes, call_retries, counts_key,
  countries_key = unpack(KEYS)
local name, command, sms, call = unpack(ARGV, 3)
local state = redis.call('HGET', batch_hash, 'state')
if not state then return '' end

-- Cancels the rows of a list that were not fed; returns how many.
local function cancel_unfed_rows(list, rows_key, bytes_key, retries_key)
  local cursor_field = 'cursor:' .. list
  local rows, cursor = redis.call('LLEN', rows_key), tonumber(redis.call('HGET', batch_hash, cursor_field)) or 0
  local unfed = rows - cursor
  if unfed > 0 then
    local _, ended = redis.call('GETRANGE', bytes_key, cursor, -1):gsub('%Z', '')  -- an operator has cancelled these
    unfed = unfed - ended
    redis.call('SETRANGE', bytes_key, cursor, string.rep(byte_of_outcome('cancelled'), rows - cursor))
    redis.call('HSET', batch_hash, cursor_field, rows)
  end
  if redis.call('DEL', retries_key) == 1 then  -- a row that is retried has a zero byte, also before the cursor
    local bytes, retried = redis.call('GETRANGE', bytes_key, 0, -1):gsub('%z', byte_of_outcome('cancelled'))
    redis.call('SETRANGE', bytes_key, 0, bytes)
    unfed = unfed + retried
  end
  if unfed > 0 then redis.call('HINCRBY', counts_key, list .. ':cancelled', unfed) end
  return unfed
end

-- Counts the same rows by country: those that have no other outcome.
local function cancel_unfed_countries()
  local unfed_rows, flat = {}, redis.call('HGETALL', countries_key)
  for i = 1, #flat, 2 do
    local country, outcome = flat[i]:match('^(.-):(.+)$')
    unfed_rows[country] = (unfed_rows[country] or 0) + (outcome == 'rows' and 1 or -1) * tonumber(flat[i + 1])
  end
  for country, unfed in pairs(unfed_rows) do
    if unfed > 0 then redis.call('HINCRBY', countries_key, country .. ':cancelled', unfed) end
  end
end

local first_row_now = string.format('%s:0:%.0f', sms, now_us)
if command == 'pause' and state == 'running' then
  state = 'paused'
  redis.call('HSET', batch_hash, 'state', state)
elseif command == 'pause' and state == 'paused' then
  redis.call('HDEL', batch_hash, 'paused_for', 'lacks')  -- what is paid back does not end an operator's pause
elseif command == 'resume' and state == 'paused' and batch_payer(name) and is_spent(batch_payer(name)) then
  redis.call('HSET', batch_hash, 'paused_for', 'budget')
elseif command == 'resume' and state == 'paused' then
  state = 'running'
  redis.call('HSET', batch_hash, 'state', state, 'notify_from', first_row_now)
  redis.call('HDEL', batch_hash, 'paused_for', 'lacks')
  if redis.call('HGET', batch_hash, 'open') == '0' then
    complete_batch(name)
    state = 'completed'
  end
elseif command == 'cancel' and (state == 'running' or state == 'paused') then
  state = 'cancelled'
  redis.call('HSET', batch_hash, 'state', state, 'notify_from', first_row_now)
  local unfed = cancel_unfed_rows(sms, sms_rows, sms_bytes, sms_retries)
    + cancel_unfed_rows(call, call_rows, call_bytes, call_retries)
  cancel_unfed_countries()
  if unfed > 0 then redis.call('HINCRBY', batch_hash, 'open', -unfed) end
  expire_batch(name, config.record_ms)
end
return state
