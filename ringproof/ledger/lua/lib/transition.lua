-- needs: clock, history_letters, settings, record, batch_rows, reverification
-- change: how a record changes its state.
-- needs: now, facts, used, move_row_of, renew, and LETTERS (state or reason -> its letter in the history), which
--        ledger.py writes   KEYS[1] - agenda

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
  reason = renew(key, record, number, state, reason)
  local brief = LETTERS[state] .. (LETTERS[reason] or '-') .. stamp()
  redis.call('HSET', key, 'state', state, 'updated_at', now, 'history', string.sub((record.history or '') .. brief, -64))
  set_or_delete(key, 'reason', reason)
  if when then
    redis.call('ZADD', KEYS[1], when, number)
  else
    redis.call('ZREM', KEYS[1], number)
    -- A verification that stands is not forgotten for a request that came to nothing, nor is who is asked again.
    local stays = state == 'verified' or used(record) or redis.call('ZSCORE', renewals_key, number)
    if not stays then redis.call('PEXPIRE', key, facts.record_ms) end
  end
  if record.batch then move_row_of(record, state, reason) end
  redis.call('PUBLISH', key, state)
end
