-- record: how a record is read and changed, put in front of accept, begin and settle.
-- needs: now, and LETTERS (state or reason -> its letter in the history), which ledger.py writes from its enums

local function read(key)
  local flat = redis.call('HGETALL', key)
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  return record, flat
end

local function milliseconds(record, field)
  return tonumber(record[field]) or 0
end

local function set_or_delete(key, field, value)
  if value and value ~= '' then
    redis.call('HSET', key, field, value)
  else
    redis.call('HDEL', key, field)
  end
end

-- A change in eight bytes: the state's letter, the reason's, and the second in six base-36 digits (lasts until
-- 2038). Eight changes fill the 64 bytes up to which Redis keeps a hash packed.
local function change_in_brief(state, reason)
  local digits = '0123456789abcdefghijklmnopqrstuvwxyz'
  local seconds, brief = math.floor(now / 1000), ''
  for _ = 1, 6 do
    local digit = seconds % 36
    brief = digits:sub(digit + 1, digit + 1) .. brief
    seconds = (seconds - digit) / 36
  end
  return LETTERS[state] .. (LETTERS[reason] or '-') .. brief
end

-- Every change of state goes through here: the state, why, the history, when the agenda looks again (nil: never,
-- the state is final) and how long a final record is kept (nil: for ever). Whoever waits for the number is told on
-- the channel that has the record's name.
local function change(key, record, agenda, number, state, reason, when, keep_ms)
  redis.call('HSET', key, 'state', state, 'updated_at', now,
    'history', string.sub((record.history or '') .. change_in_brief(state, reason), -64))
  set_or_delete(key, 'reason', reason)
  if when then
    redis.call('ZADD', agenda, when, number)
  else
    redis.call('ZREM', agenda, number)
    if keep_ms then redis.call('PEXPIRE', key, keep_ms) end
  end
  redis.call('PUBLISH', key, state)
end
