-- record: how a record is read and changed. Put in front of each script.
-- needs: now, facts, move_row_of, and LETTERS (state or reason -> its letter in the history), which ledger.py writes
--        KEYS[1] - agenda

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

-- Whether the last sent code has done its work: the number was verified since.
local function used(record)
  return record.verified_at ~= nil and milliseconds(record, 'verified_at') >= milliseconds(record, 'code_sent_at')
end

-- This second in six base-36 digits, which last until 2038.
local function stamp()
  local digits = '0123456789abcdefghijklmnopqrstuvwxyz'
  local seconds, text = math.floor(now / 1000), ''
  for _ = 1, 6 do
    local digit = seconds % 36
    text = digits:sub(digit + 1, digit + 1) .. text
    seconds = (seconds - digit) / 36
  end
  return text
end

-- Every change of state goes through here: the state, why, the history, and when the agenda looks again (nil: never,
-- the state is final, and all but a verified number's record is kept for some days). Whoever waits for the number is
-- told on the channel that has the record's name; if it is a row of a batch, that is counted anew.
-- A change takes eight bytes: the state's letter, the reason's, and the second. Eight changes fill the 64 bytes up to
-- which Redis keeps a hash packed.
local function change(key, record, number, state, reason, when)
  local brief = LETTERS[state] .. (LETTERS[reason] or '-') .. stamp()
  redis.call('HSET', key, 'state', state, 'updated_at', now, 'history', string.sub((record.history or '') .. brief, -64))
  set_or_delete(key, 'reason', reason)
  if when then
    redis.call('ZADD', KEYS[1], when, number)
  else
    redis.call('ZREM', KEYS[1], number)
    if state ~= 'verified' then redis.call('PEXPIRE', key, facts.record_ms) end
  end
  if record.batch then move_row_of(record, state, reason) end
  redis.call('PUBLISH', key, state)
end
