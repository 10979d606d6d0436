-- needs: clock, row_bytes, settings, batch_state
-- rows: the rows of batches. A byte a row tells where it stands, in a string per list; what the bytes tell is counted.
-- needs: now, facts, and BYTES (outcome -> its byte) and OPEN (the bytes that are no outcome yet), which ledger.py writes
--        ARGV[2] - what all keys begin with: a record names its batch and row, so that their keys cannot be in KEYS
-- A record's `row` is 'sms:17:US': its list, its place there, and its country.
local RATE_MS = 10000  -- over how long the codes sent lately are weighed

-- All keys of a batch that has ended go at one time, its hash not after the others: without it nothing is counted, and
-- so no key comes back. One that runs again (ms is nil) is kept.
local function keep_batch(name, ms)
  for _, rest in ipairs({{}, {'counts'}, {'countries'}, {'sms'}, {'sms', 'bytes'}, {'sms', 'again'},
      {'call'}, {'call', 'bytes'}, {'call', 'again'}}) do
    local key = batch_key(name, unpack(rest))
    if ms then redis.call('PEXPIRE', key, ms) else redis.call('PERSIST', key) end
  end
end

local OUTCOMES = {}
for outcome, byte in pairs(BYTES) do OUTCOMES[byte] = outcome end

local function is_open(byte)
  return byte == '' or OPEN:find(byte, 1, true) ~= nil
end

local function tally(name, list, country, byte, by)
  local outcome = OUTCOMES[byte]
  if not outcome then return end  -- it was not fed
  redis.call('HINCRBY', batch_key(name, 'counts'), list .. ':' .. outcome, by)
  redis.call('HINCRBY', batch_key(name, 'countries'), country .. ':' .. outcome:match('^[^:]+'), by)
end

-- Whoever gives the last row its outcome completes the batch: once, for the state tells. One that is paused, and has rows
-- for which another's request stands, is completed when it is resumed: that request may wait for it.
local function complete(name)
  local key = batch_key(name)
  local state = redis.call('HGET', key, 'state')
  if state == 'paused' then
    for _, joined in ipairs(redis.call('HMGET', batch_key(name, 'counts'), 'sms:joined', 'call:joined')) do
      if (tonumber(joined) or 0) > 0 then return end
    end
  elseif state ~= 'running' then
    return
  end
  redis.call('HSET', key, 'state', 'completed', 'completed_at', now)
  batch_states[name] = 'completed'
  redis.call('ZREM', ARGV[2] .. ':feeding', name)
  redis.call('RPUSH', ARGV[2] .. ':completed', name)  -- for whoever writes the line in the log
  keep_batch(name, facts.record_ms)
  redis.call('PUBLISH', ARGV[2] .. ':events', cjson.encode({event = 'batch_completed', batch = name, at_ms = now}))
end

local function note_a_send(name)
  local key = batch_key(name)
  local told = redis.call('HMGET', key, 'sent_weight', 'sent_at')
  local weight = (tonumber(told[1]) or 0) * math.exp(((tonumber(told[2]) or now) - now) / RATE_MS)
  if weight < 0.01 then redis.call('HSET', key, 'sent_since', now) end
  redis.call('HSET', key, 'sent_weight', string.format('%.4f', weight + 1), 'sent_at', now)
end

local function move_row(name, list, place, country, outcome)
  local bytes, after = batch_key(name, list, 'bytes'), BYTES[outcome] or BYTES[outcome:match('^[^:]+')]
  local before = redis.call('GETRANGE', bytes, place, place)
  if before == after then return end
  redis.call('SETRANGE', bytes, place, after)
  tally(name, list, country, before, -1)
  tally(name, list, country, after, 1)
  if outcome == 'code_sent' then note_a_send(name) end
  local opened = (is_open(after) and 1 or 0) - (is_open(before) and 1 or 0)
  if opened ~= 0 and redis.call('HINCRBY', batch_key(name), 'open', opened) == 0 then complete(name) end
end

-- What a record has become, its row is; of a batch that is no more nothing is kept.
local function move_row_of(record, state, reason)
  if not is_row(record) then return end
  local list, place, country = record.row:match('^(%l+):(%d+):(%w*)$')
  move_row(record.batch, list, place, country, reason ~= '' and state .. ':' .. reason or state)
end

-- A row is forgotten: its country is left of it, to be counted. If it was fed and had no outcome, that is one.
local function blank_row(name, list, place, country)
  redis.call('LSET', batch_key(name, list), place, country)
  local byte = redis.call('GETRANGE', batch_key(name, list, 'bytes'), place, place)
  if OUTCOMES[byte] and is_open(byte) then move_row(name, list, place, country, 'erased') end
end

-- A record that is replaced leaves its row what it was; if that was no outcome, another's request stands for it now,
-- unless its batch is cancelled, of which it had not heard yet.
local function leave_row(record)
  if not is_row(record) then return end
  local list, place, country = record.row:match('^(%l+):(%d+):(%w*)$')
  if is_open(redis.call('GETRANGE', batch_key(record.batch, list, 'bytes'), place, place)) then
    move_row(record.batch, list, place, country, batch_state(record.batch) == 'cancelled' and 'cancelled' or 'joined')
  end
end
