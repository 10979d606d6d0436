-- needs: arguments, clock, history_letters
-- The outbox: a stream with an entry for each event that somebody may want to know of. It is written in the script that
-- makes the change, so no event is lost and none is invented. Without a consumer nothing is written: each one has its
-- fields in the hash of `consumers_key` (lib/delivery.lua).
-- An entry has one field `e`: letters of the state and the reason, as in a record's history; when it happened (ms);
-- number; request; letter of the lane; channel; '1' if the number's verification stands; uuid; row; batch. Blanks are
-- between them, '-' stands for nothing, and a batch's name may have blanks. The letter of a completed batch is 'b'.
local outbox_key, consumers_key = prefix .. ':outbox', prefix .. ':outbox:consumers'
local HAS_UUID = {code_sent = true, verified = true, expired = true}
local OF_EVENT = {
  'request', 'lane', 'channel', 'row', 'batch', 'verification_uuid', 'verified_uuid', 'code_request', 'verified_at',
}
local noted = {}

-- Notes that a record goes to a state. What else its event says is read from the record at the end of the script.
local function note_event(key, number, state, reason)
  noted[#noted + 1] = {key = key, number = number, state = state, reason = reason}
end

local function note_completed_batch(name)
  noted[#noted + 1] = {batch = name}
end

-- Returns when (ms) the event of a text happened.
local function happened_at(text)
  return tonumber(text:match('^%S+ (%d+) '))
end

local function packed_event(event)
  if event.batch then return table.concat({'b-', now, '- - - - - - -', event.batch}, ' ') end
  local request, lane, channel, row, batch, uuid, verified_uuid, code_request, verified_at =
    unpack(redis.call('HMGET', event.key, unpack(OF_EVENT)))
  -- An earlier request's code may have verified the number; '0': none of this installation's.
  if event.state == 'verified' then
    request, uuid = code_request or request, verified_uuid or uuid
  elseif not HAS_UUID[event.state] then
    uuid = nil
  end
  local stands = verified_at and event.reason ~= 'lapsed' and '1' or '-'
  return table.concat({
    letter_of(event.state) .. (letter_of(event.reason) or '-'), now, event.number, request, lane:sub(1, 1), channel,
    stands, uuid or '-', row or '-', batch or '-',
  }, ' ')
end

-- Writes the noted events into the outbox. Each script that has this piece does so at its end, after all other writes.
local function write_events()
  if not noted[1] or redis.call('EXISTS', consumers_key) == 0 then return end
  for _, event in ipairs(noted) do redis.call('XADD', outbox_key, '*', 'e', packed_event(event)) end
end
