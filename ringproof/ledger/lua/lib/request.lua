-- needs: clock, settings, record, batch_state, batch_rows, reverification, transition, limits
-- newcomer: what becomes of a new request, and how one that is accepted is written; for one number, or for a row.
-- needs: now, facts, read, change, capped, batch_word, joiners   KEYS[6] - how often each limit has refused
--        ARGV[2] - what all keys begin with: a page's records are found by its numbers, so they cannot be in KEYS
-- What is asked for is a table: column ('state[:live]' -> disposition), lane, channel, country, resend (true or nil),
-- row (true for one of a batch), from (its request is not below that; nil: whatever it is), ends_at (ms),
-- asleep_until (ms, 0: awake), fields (others of the record, in pairs).

local function column(text)
  local answers = {}
  for row, answer in text:gmatch('(%S+)=(%S+)') do answers[row] = answer end
  return answers
end

-- Returns its disposition, the request that now counts, until when (ms), and the limit that refused it ('': none).
local function consider(record, number, asked)
  local live_until, state = milliseconds(record, 'live_until'), record.state or 'none'
  if asked.lane ~= 'interactive' and (state == 'queued' or state == 'waiting') then
    -- Nobody joins what the word of another batch keeps from being sent: it would never be, once that is cancelled.
    local word = batch_word(record)
    if word == 'cancelled' or word == 'paused' then state = 'cancelled' end
  elseif asked.lane ~= 'interactive' and used(record) and (state == 'failed' or state == 'cancelled') then
    state = 'verified'  -- a request that came to nothing takes nothing from a verification that stands
  end
  local situation = state .. (live_until > now and ':live' or '')
  local disposition, request = asked.column[situation], tonumber(record.request) or 0
  if disposition == 'in_doubt' then return disposition, request, live_until, '' end
  if disposition ~= 'accepted' then return disposition, request, 0, '' end

  local last_send = math.max(milliseconds(record, 'code_sent_at'), live_until - facts.code_ms)
  if facts.countries ~= '' and not (',' .. facts.countries .. ','):find(',' .. asked.country .. ',', 1, true) then
    redis.call('HINCRBY', KEYS[6], 'countries', 1)
    return 'country', request, 0, ''
  elseif asked.resend and last_send + facts.cooldown_ms > now then
    return 'cooling_down', request, last_send + facts.cooldown_ms, ''
  elseif asked.lane == 'interactive' or asked.row then
    -- A person is told at once; a row waits, unless the limit lasts beyond its end.
    local limit, until_ms = capped(record, number, asked.lane, asked.channel)
    if limit and (asked.lane == 'interactive' or until_ms >= asked.ends_at) then
      return 'capped', request, until_ms, limit
    end
  end
  -- It starts at Redis' seconds, so that the number of an erased record is never used again.
  return 'accepted', math.max(request + 1, math.floor(now / 1000), asked.from or 0), 0, ''
end

local function take_in(key, record, flat, number, request, asked)
  if record.request then
    local earlier = ARGV[2] .. ':earlier:' .. number
    local kept = redis.call('HKEYS', earlier)
    table.sort(kept, function(a, b) return tonumber(a) < tonumber(b) end)
    if #kept >= 8 then redis.call('HDEL', earlier, kept[1]) end
    redis.call('HSET', earlier, record.request, cjson.encode(flat))
    redis.call('PEXPIRE', earlier, facts.earlier_ms)
  end
  redis.call('DEL', key)
  -- A re-verification's code for which a person has another sent was not answered.
  if record.reverifies and record.state == 'code_sent' then record.unanswered = record.unanswered or '1' end
  if record.reason == 'lapsed' then redis.call('SREM', lapsed_key, number) end
  -- What stays true of the number whatever is asked for it: the codes that may live, the last one's uuid, how many.
  for _, field in ipairs({'live_until', 'verification_uuid', 'api_id', 'code_sent_at', 'expires_at', 'verified_at',
      'tries', 'confirm', 'codes', 'calls', 'checked_at', 'reverify_after', 'unanswered'}) do
    if record[field] then redis.call('HSET', key, field, record[field]) end
  end
  local ends_at = asked.ends_at
  if asked.asleep_until > now then ends_at = ends_at + asked.asleep_until - now end
  redis.call('HSET', key, 'request', request, 'lane', asked.lane, 'channel', asked.channel, 'ends_at', ends_at)
  set_or_delete(key, 'country', asked.country)
  set_or_delete(key, 'resend', asked.resend and '1')

  local written = {history = record.history, request = request}
  for i = 1, #asked.fields, 2 do written[asked.fields[i]] = asked.fields[i + 1] end
  if written.again then  -- of a doubt's own repetition the row is the same
    written.batch, written.row = record.batch, record.row
    if record.batch then redis.call('HSET', key, 'batch', record.batch, 'row', record.row) end
    set_or_delete(key, 'joined_by', record.joined_by)
  elseif record.batch ~= written.batch or record.row ~= written.row then  -- or a person wants the same row once more
    leave_row(record)
    local unfinished = record.state == 'queued' or record.state == 'waiting' or record.state == 'in_doubt'
    if written.batch and record.batch and unfinished then
      set_or_delete(key, 'joined_by', joiners(written.batch, record.batch .. '/' .. (record.joined_by or '')))
    end
  end
  if written.reverifies and record.by_hand then redis.call('HSET', key, 'by_hand', 1) end
  if asked.fields[1] then redis.call('HSET', key, unpack(asked.fields)) end
  if asked.asleep_until > now then
    redis.call('HSET', key, 'due_at', asked.asleep_until)
    change(key, written, number, 'waiting', 'quiet_hours', asked.asleep_until)
  else
    change(key, written, number, 'queued', '', math.min(now + facts.enqueue_again_ms, ends_at))
  end
end
