-- needs: clock, states, settings, changes, damage, record, batch_state, transition, breaker, tombstone, limits, request, schema, generation, gate
-- Brings a Redis that has gone back up to date with what a process remembers of numbers that it has begun. Each record
-- that is older becomes what it was. What is newer stays, and no code's life gets shorter. The same again changes
-- nothing.
-- input:  KEYS    the numbers' records
--         ARGV    the closing for which the process reports;
--                 and for each record: its number, its request, its fence; how long ago (ms) begin claimed it, its slot
--                 was, and the attempt ended; its state, reason and detail by then ('': the attempt is not over), its
--                 verification_uuid and api_id; and the fields that begin has returned, as a flat list in JSON
-- output: how many records were older; and the batches of such numbers that Redis does not know
-- Nothing is done if the gate is open, or was closed again: other attempts may have to be reported then.
local FIELDS = 12  -- the arguments of one record
local NEAR_MS = 3000  -- two times of one moment differ by less, when the clock of Redis is another
local closing = ARGV[3]
local OF_REQUEST = {'subaccount', 'batch', 'row', 'again', 'reverifies', 'reverify_after', 'personal'}
local OF_CODE = {'live_before', 'code_request', 'tries', 'confirm', 'lease_until', 'look_ups_from', 'due_at'}
local unknown_batches = {}

-- Notes whether the attempt was one of a test number, as begin has: the fixed code confirms it, and not Plivo.
local function note_test(key, record, attempt)
  record.test = attempt.fields.test
  set_or_delete(key, 'test', record.test)
end

-- Counts an attempt's code, unless it is in the counts, or was one of a test number.
local function count_code_of(key, record, attempt)
  if attempt.fields.test then return end
  local begun_at = attempt.begun_at
  for _, field in ipairs(record.channel == 'call' and {'codes', 'calls'} or {'codes'}) do
    local times, is_counted = {base36(math.floor(begun_at / 1000))}, false
    for one in (record[field] or ''):gmatch('%w%w%w%w%w%w') do
      is_counted = is_counted or math.abs(tonumber(one, 36) * 1000 - begun_at) <= NEAR_MS
      times[#times + 1] = one
    end
    table.sort(times)
    if not is_counted then put(key, field, table.concat(times):sub(-60)) end
  end
end

-- Makes a code that was sent live in a record that stays what it is. The last code of a number is the one that its user
-- has, also if a newer request has sent none.
local function keep_live(key, record, attempt)
  if attempt.live_until <= now then return false end
  count_code_of(key, record, attempt)
  local is_older = false
  if attempt.state == 'code_sent' and milliseconds(record, 'code_sent_at') < attempt.ended_at - NEAR_MS then
    put(key, 'verification_uuid', attempt.uuid, 'api_id', attempt.api_id, 'code_sent_at', attempt.ended_at,
      'expires_at', attempt.ended_at + config.code_ms)
    note_test(key, record, attempt)
    if tonumber(record.request) ~= attempt.request then put(key, 'code_request', attempt.request) end
    drop(key, 'tries', 'confirm')
    is_older = true
  end
  if record.state == 'verified' or milliseconds(record, 'live_until') >= attempt.live_until - NEAR_MS then
    return is_older
  end
  put(key, 'live_until', attempt.live_until)
  if record.state == 'in_doubt' then set_agenda(attempt.number, attempt.live_until) end
  return true
end

-- Writes the request of a record that Redis does not know, as accept has written it.
local function write_forgotten(key, record, flat, attempt)
  local fields = {}
  for _, field in ipairs(OF_REQUEST) do
    if attempt.fields[field] then fields[#fields + 1], fields[#fields + 2] = field, attempt.fields[field] end
  end
  for field, value in pairs(attempt.fields) do
    if field:find('^alias') then fields[#fields + 1], fields[#fields + 2] = field, value end
  end
  write_request(key, record, flat, attempt.number, attempt.request, {
    lane = attempt.fields.lane, channel = attempt.fields.channel, country = attempt.fields.country or '',
    resend = attempt.fields.resend, is_personal = attempt.fields.personal, asleep_until = 0, fields = fields,
    ends_at = math.max(tonumber(attempt.fields.ends_at) or 0, now + config.enqueue_again_longest_ms),
  })
  return (read(key))
end

-- Makes a record what its attempt has made of it.
local function bring_forward(key, record, attempt)
  local is_sent, agenda_at = attempt.state == '' or attempt.state == 'code_sent' or attempt.state == 'in_doubt', nil
  local live_until = attempt.live_until
  if record.fence ~= attempt.fence then live_until = math.max(live_until, milliseconds(record, 'live_until')) end
  put(key, 'fence', attempt.fence, 'attempts', math.max(tonumber(record.attempts) or 0, attempt.attempts))
  drop(key, unpack(OF_CODE))
  note_test(key, record, attempt)
  if is_sent then
    count_code_of(key, record, attempt)
    put(key, 'live_until', live_until)
  elseif record.state == 'sending' or record.state == 'in_doubt' then
    undo_attempt(key, record, true)
  end
  if attempt.state == '' then
    agenda_at = attempt.lease_until
    put(key, 'lease_until', agenda_at)
    set_or_delete(key, 'live_before', record.fence == attempt.fence and record.live_before or record.live_until)
  elseif attempt.state == 'code_sent' then
    local sent_at = attempt.ended_at
    agenda_at = sent_at + config.code_ms
    set_or_delete(key, 'verified_uuid', uuid_of_verification(record))
    put(key, 'verification_uuid', attempt.uuid, 'api_id', attempt.api_id, 'code_sent_at', sent_at)
    put(key, 'expires_at', agenda_at)
    if tonumber(record.request) ~= attempt.request then put(key, 'code_request', attempt.request) end
    note_sample(key, record)
  elseif attempt.state == 'in_doubt' then
    agenda_at = live_until
  end
  set_or_delete(key, 'detail', attempt.detail)
  set_state(key, record, attempt.number, attempt.state == '' and 'sending' or attempt.state, attempt.reason, agenda_at)
end

-- Puts back a number whose attempt sent nothing, and is to be repeated.
local function queue_again(key, record, attempt)
  local queued_until = now + config.enqueue_again_ms
  undo_attempt(key, record, true)
  put(key, 'fence', attempt.fence, 'ends_at', math.max(milliseconds(record, 'ends_at'), queued_until))
  set_state(key, record, attempt.number, 'queued', '', queued_until)
end

-- Returns whether Redis did not know it.
local function update(key, attempt)
  local record, flat = read(key)
  if not record.state and read_tombstone(attempt.number) then return false end  -- it was erased
  if is_newer(record) then return false end
  local is_sent = attempt.state == '' or attempt.state == 'code_sent' or attempt.state == 'in_doubt'
  local is_again = UNBEGUN[attempt.state]  -- nothing was sent, and the request goes on
  local request = tonumber(record.request) or 0
  if request > attempt.request then
    -- A newer request has not begun, and nobody has asked for another code: this one is its code.
    local is_its_code = UNBEGUN[record.state] and not record.resend and attempt.state == 'code_sent'
    if is_its_code and attempt.live_until > now then
      bring_forward(key, record, attempt)
      return true
    end
    return is_sent and keep_live(key, record, attempt)
  elseif request < attempt.request then
    local batch = attempt.fields.batch
    if batch and not batch_state(batch) then unknown_batches[batch] = true end
    record = write_forgotten(key, record, flat, attempt)
    if not is_again then bring_forward(key, record, attempt) end
    return true
  end

  local is_begun = record.state == 'sending' or record.state == 'in_doubt'
  local is_same = record.fence == attempt.fence
  if not is_begun and is_same then return false end  -- Redis knows how the attempt ended
  if UNBEGUN[record.state] then
    if is_again then return false end
    bring_forward(key, record, attempt)
    return true
  elseif is_begun and is_same and (attempt.state == '' or attempt.state == record.state) then
    return false
  end
  -- Another attempt of the same request was over when this one began, if its slot is older.
  if is_begun and (is_same or slot_of(record) < attempt.slot_at - NEAR_MS) then
    if is_again then queue_again(key, record, attempt) else bring_forward(key, record, attempt) end
    return true
  end
  local is_ended_unsent = record.state == 'failed' or record.state == 'cancelled'
  if is_ended_unsent and attempt.state == 'code_sent' and attempt.live_until > now then
    bring_forward(key, record, attempt)
    return true
  end
  return is_sent and keep_live(key, record, attempt)
end

local function parse(i)
  local number, request, fence, begun_ago, slot_ago, ended_ago, state, reason, detail, uuid, api_id, packed =
    unpack(ARGV, FIELDS * (i - 1) + 4, FIELDS * i + 3)
  local fields, flat = {}, cjson.decode(packed)
  for nth = 1, #flat, 2 do fields[flat[nth]] = flat[nth + 1] end
  local attempt = {
    number = number, request = tonumber(request), fence = fence, begun_at = now - tonumber(begun_ago),
    slot_at = now - tonumber(slot_ago), ended_at = now - tonumber(ended_ago), state = state, reason = reason,
    detail = detail, uuid = uuid, api_id = api_id, fields = fields, attempts = tonumber(fields.attempts) or 1,
  }
  attempt.lease_until = attempt.slot_at + config.lease_ms
  attempt.live_until = attempt.lease_until + config.code_ms
  if state == 'code_sent' then attempt.live_until = attempt.ended_at + config.code_ms + config.code_margin_ms end
  return attempt
end

if not is_gate_closed('') or closing ~= string.format('%.0f', generation.closing) then return {0} end
local mended = 0
for i, key in ipairs(KEYS) do
  local attempt = parse(i)
  if unless_damaged(key, function() return update(key, attempt) end) then mended = mended + 1 end
end
if mended > 0 then redis.call('HINCRBY', generation_key, 'mended', mended) end
local answer, lost = {mended}, generation_field('lost_batches') or ''
for name in pairs(unknown_batches) do
  answer[#answer + 1] = name
  local is_named = ('/' .. lost .. '/'):find('/' .. name .. '/', 1, true)
  if not is_named then lost = lost .. (lost ~= '' and '/' or '') .. name end
end
if answer[2] then set_generation({lost_batches = lost:sub(1, 1000)}) end
return answer
