-- needs: arguments, clock, history_letters
-- The outbox: a stream with an entry for each event that somebody may want to know of. It is written in the script that
-- makes the change, so no event is lost and none is invented. Without a consumer nothing is written: each one has its
-- fields in the hash of `consumers_key` (lib/delivery.lua).
-- An entry has one field `e`: letters of the state and the reason, as in a record's history; when it happened (ms);
-- number; request; letter of the lane; channel; '1' if the number's verification stands; uuid; row; batch. Blanks are
-- between them, '-' stands for nothing, and a batch's name may have blanks. The letter of a completed batch is 'b'.
-- If the event has any of them, a second field `t` has its times: how long (ms) before the event the code was sent, how
-- long it lives, and how long before the event the number was verified. Older versions read the first field alone.
local outbox_key, consumers_key = prefix .. ':outbox', prefix .. ':outbox:consumers'
local HAS_UUID = {code_sent = true, verified = true, expired = true}
local OF_EVENT = {
  'request', 'lane', 'channel', 'row', 'batch', 'verification_uuid', 'verified_uuid', 'code_request', 'verified_at',
  'code_sent_at', 'expires_at',
}
local noted = {}

-- Notes that a record goes to a state. What else its event says is read from the record at the end of the script.
-- `uuid_before` is that of the last code before the script.
local function note_event(key, number, state, reason, uuid_before)
  noted[#noted + 1] = {key = key, number = number, state = state, reason = reason, uuid_before = uuid_before}
end

local function note_completed_batch(name)
  noted[#noted + 1] = {batch = name}
end

-- Returns when (ms) the event of a text happened.
local function happened_at(text)
  return tonumber(text:match('^%S+ (%d+) '))
end

-- Returns the time (ms) from one moment to another as an entry has it.
local function span(from, to)
  local from_ms, to_ms = tonumber(from), tonumber(to)
  return from_ms and to_ms and to_ms - from_ms or '-'
end

-- Returns the fields of an entry and their values.
local function fields_of_entry(event)
  if event.batch then return 'e', table.concat({'b-', now, '- - - - - - -', event.batch}, ' ') end
  local request, lane, channel, row, batch, uuid, verified_uuid, code_request, verified_at, code_sent_at, expires_at =
    unpack(redis.call('HMGET', event.key, unpack(OF_EVENT)))
  -- When an earlier code was sent that has verified the number, or another program's, nobody knows any more.
  if not HAS_UUID[event.state] or event.state == 'verified' and (verified_uuid or uuid ~= event.uuid_before) then
    code_sent_at, expires_at = nil, nil
  end
  -- An earlier request's code may have verified the number; '0': none of this installation's.
  if event.state == 'verified' then
    request, uuid = code_request or request, verified_uuid or uuid
  elseif not HAS_UUID[event.state] then
    uuid = nil
  end
  local stands = verified_at and event.reason ~= 'lapsed' and '1' or '-'
  local packed = table.concat({
    letter_of(event.state) .. (letter_of(event.reason) or '-'), now, event.number, request, lane:sub(1, 1), channel,
    stands, uuid or '-', row or '-', batch or '-',
  }, ' ')
  if event.state ~= 'verified' then verified_at = nil end
  if not (code_sent_at or verified_at) then return 'e', packed end
  return 'e', packed,
    't', table.concat({span(code_sent_at, now), span(code_sent_at, expires_at), span(verified_at, now)}, ' ')
end

-- Writes the noted events into the outbox. Each script that has this piece does so at its end, after all other writes.
local function write_events()
  if not noted[1] or redis.call('EXISTS', consumers_key) == 0 then return end
  for _, event in ipairs(noted) do redis.call('XADD', outbox_key, '*', fields_of_entry(event)) end
end
