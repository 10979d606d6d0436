-- needs: arguments, clock, states, settings, changes, record, batch_state, batch_rows, reverification, transition, people, breaker, limits, countries, metrics, record_fields, schema, test_numbers
-- The decision about a new request, and how an accepted one is written: for one number, or for a row of a batch.
-- `asked` describes the new request: answers ('state[:live]' -> disposition), lane, channel, country, is_personal (a
-- personal number), resend (true or nil), is_of_batch (true for a row), least_request (the lowest request number; nil:
-- any), request (the number that it has; nil: a new one), ends_at (ms), asleep_until (ms; 0: awake), is_refused (Plivo
-- refuses the destination, so that the request waits), fields (other fields of the record, as a flat list of names and
-- values).

-- Reads a column of Python's table of dispositions: 'none=accepted queued=same …'.
local function parse_answers(text)
  local answers = {}
  for situation, disposition in text:gmatch('(%S+)=(%S+)') do answers[situation] = disposition end
  return answers
end

-- Decides about a new request, and writes nothing. Returns a table: disposition, request (the one that counts now),
-- until_ms (0: none), limit (the cap that refuses it, or why the country list does; '': none), promotes (whether a
-- person takes over a request that has not begun), and refused_by: the cause to count, which is a cap or `countries`
-- (nil: none). There is a cause also if a row only waits for the end of a cap.
local function decide(record, number, asked)
  local live_until, state = milliseconds(record, 'live_until'), record.state or 'none'
  if asked.lane ~= 'interactive' and UNBEGUN[state] then
    -- Do not join a request whose batch is paused or cancelled: it might never be sent.
    local applies = batch_state_for(record)
    if applies == 'cancelled' or applies == 'paused' then state = 'cancelled' end
  elseif asked.lane ~= 'interactive' and is_verified(record) and (FINAL[state] or state == 'code_sent') then
    state = 'verified'  -- what became of the last request does not end an earlier verification
  end
  -- A newer version's request stands for this one, as one that waits does, and nobody takes it over here.
  local is_left = is_newer(record)
  if is_left then state = 'waiting' end
  local situation = state .. (live_until > now and ':live' or '')
  local decision = {
    disposition = asked.answers[situation], request = tonumber(record.request) or 0, until_ms = 0, limit = '',
  }
  if decision.disposition == 'in_doubt' then decision.until_ms = live_until end
  if is_left then return decision end
  local is_person, is_accepted = asked.lane == 'interactive', decision.disposition == 'accepted'
  local promotes = decision.disposition == 'same' and is_person and record.lane ~= 'interactive' and UNBEGUN[state]
  if not is_accepted and not promotes then return decision end

  local left_out = left_out_as(number, asked.country, asked.is_personal)
  if left_out and not is_test_number(number) then
    decision.disposition, decision.limit, decision.refused_by = 'country', left_out, 'countries'
    return decision
  elseif is_accepted and asked.resend and last_send_of(record) + config.cooldown_ms > now then
    decision.disposition, decision.until_ms = 'cooling_down', last_send_of(record) + config.cooldown_ms
    return decision
  elseif is_person or asked.is_of_batch then
    -- A person learns of a cap at once. A row waits for its end, unless the row's deadline comes before it.
    local cap, until_ms = reached_cap(record, asked.channel, is_person and asked, number)
    if cap and is_test_number(number) then cap = nil end
    decision.refused_by = cap
    if cap and (is_person or until_ms >= asked.ends_at) then
      decision.disposition, decision.until_ms, decision.limit = 'capped', until_ms, cap
      return decision
    end
  end
  decision.promotes = promotes
  if promotes then return decision end
  -- Request numbers start at Redis' seconds, so that the number of an erased record is never used again.
  decision.request = asked.request
    or math.max(decision.request + 1, math.floor(now / 1000), asked.least_request or 0)
  return decision
end

-- Keeps the record of a replaced request for its result: the last eight, for `earlier_ms`.
local function keep_earlier(record, flat, number)
  local earlier_key = prefix .. ':earlier:' .. number
  local kept = redis.call('HKEYS', earlier_key)
  table.sort(kept, function(a, b) return tonumber(a) < tonumber(b) end)
  if #kept >= 8 then redis.call('HDEL', earlier_key, kept[1]) end
  redis.call('HSET', earlier_key, record.request, cjson.encode(flat))
  redis.call('PEXPIRE', earlier_key, config.earlier_ms)
end

-- Notes that an accepted request is a person's: it counts from now on, and it may be a probe of the breaker.
local function note_person(key, record, asked, number)
  if is_test_number(number) then return end
  count_person(key, asked, number)
  note_probe(key, record, asked, number)
end

-- Keeps the fields that this version does not know: a newer one may have written them, for the number and not for its
-- request.
local function keep_newer_fields(key, record)
  for field, value in pairs(record) do
    if not KNOWN_FIELDS[field] and not field:find('^alias%d+$') then put(key, field, value) end
  end
end

-- These fields belong to the number, not to a request: which codes may be live, the last one's uuid.
local OF_NUMBER = {
  'live_until', 'verification_uuid', 'api_id', 'code_sent_at', 'expires_at', 'verified_at', 'verified_uuid',
  'code_request', 'tries', 'confirm', 'checked_at', 'reverify_after', 'unanswered', 'sample',
}

-- Keeps what belongs to the number, in a record that gets a new request.
local function keep_fields_of_number(key, record)
  keep_newer_fields(key, record)
  if not is_verified(record) then record.verified_at = nil end
  record.code_request = record.code_request or record.verification_uuid and record.request
  for _, field in ipairs(OF_NUMBER) do
    if record[field] then put(key, field, record[field]) end
  end
  write_counts(key, record)
end

-- Writes an accepted request over the number's record, and puts it on the agenda.
local function write_request(key, record, flat, number, request, asked)
  if record.request then keep_earlier(record, flat, number) end
  if flat[1] then redis.call('DEL', key) end
  note_hash(key, {})
  -- If a person asks for another code, the code that a re-verification has sent counts as not answered.
  if record.reverifies and record.state == 'code_sent' then record.unanswered = record.unanswered or '1' end
  if record.reason == 'lapsed' then redis.call('ZREM', lapsed_key, number) end
  end_wait(record, number)
  if record.state == 'in_doubt' then redis.call('ZREM', doubts_key, number) end
  if next(record) then keep_fields_of_number(key, record) end
  local ends_at = asked.ends_at
  if asked.asleep_until > now then ends_at = ends_at + asked.asleep_until - now end
  local fields = changes_of(key)
  fields.request, fields.lane, fields.channel, fields.ends_at = request, asked.lane, asked.channel, ends_at
  set_or_delete(key, 'country', asked.country)
  set_or_delete(key, 'resend', asked.resend and '1')
  if asked.lane == 'interactive' then note_person(key, record, asked, number) end

  local written = {
    history = record.history, request = request, country = asked.country, ends_at = ends_at, lane = asked.lane,
    channel = asked.channel,
  }
  for i = 1, #asked.fields, 2 do written[asked.fields[i]] = asked.fields[i + 1] end
  if written.again then  -- the automatic resend after a doubt belongs to the same row
    written.batch, written.row = record.batch, record.row
    if record.batch then put(key, 'batch', record.batch, 'row', record.row) end
    set_or_delete(key, 'joined_by', record.joined_by)
  elseif record.batch ~= written.batch or record.row ~= written.row then  -- equal: an operator retries the same row
    release_row(record)
    if written.batch and record.batch and UNFINISHED[record.state] then
      set_or_delete(key, 'joined_by', joining_batches(written.batch, record.batch .. '/' .. (record.joined_by or '')))
    end
  end
  if written.reverifies and record.requested_by_person then fields.requested_by_person = 1 end
  for i = 1, #asked.fields, 2 do fields[asked.fields[i]] = asked.fields[i + 1] end
  count_of_request('accepted', written)
  if asked.asleep_until > now then
    put(key, 'due_at', asked.asleep_until)
    set_state(key, written, number, 'waiting', 'quiet_hours', asked.asleep_until)
  elseif asked.is_refused then
    wait_for_destination(key, written, number)
  else
    set_state(key, written, number, 'queued', '', math.min(now + config.enqueue_again_ms, ends_at))
  end
end
