-- needs: arguments, clock, settings, changes, record, batch_state, transition, tombstone, people, limits, request, line, turns, schema, test_numbers
-- Accepts a new request for one number, or returns why not.
-- input:  KEYS    the number's record, the answer to the caller's token
--         ARGV    number (E.164), the column of the table for this kind of request ('state[:live]=disposition …'),
--                 '1' for a resend, lane, ms until the deadline, ms for which the token is remembered, channel,
--                 country, whom the web app names as the one who asks ('': nobody), 64 random characters: the key
--                 of the requesters' HMACs, if Redis has none; the number that the request had before Redis forgot it
--                 ('': it is a new one); and other fields of the request with their values
-- output: disposition; request (0: none); until when in ms (0: none); 1 if a person's request has promoted it;
--         the cap that refuses it, or why the list of countries does ('': none)
local key, token_key = unpack(KEYS)
local number, column, is_resend, lane, lasts_ms, token_ms, channel, country, named, random, had = unpack(ARGV, 3)
local fields = {unpack(ARGV, 14)}

-- begin checks these reasons again, and they do not apply to a person: a person is awake, learns of a cap at once, and
-- is no part of a batch. So a promotion queues a request that waits for one of them.
local ENDS_BY_PROMOTION = {
  quiet_hours = true, cap = true, pace = true, paused = true, batch_paused = true, refused = true,
}

local answered = redis.call('GET', token_key)
if answered then return cjson.decode(answered) end

-- An automatic resend and a re-verification follow an earlier request. They do not bring an erased number back.
-- `again` is the number of the doubtful request: the automatic resend follows that one only, while it is in doubt.
local follows, doubtful, is_personal = false, nil, false
for i = 1, #fields, 2 do
  follows = follows or fields[i] == 'again' or fields[i] == 'reverifies'
  if fields[i] == 'again' then doubtful = fields[i + 1] end
  is_personal = is_personal or fields[i] == 'personal'
end
if follows and redis.call('EXISTS', key) == 0 then return {'gone', 0, 0, 0, ''} end

local record, flat = read_or_revive(key, number)
-- A request that Redis has forgotten becomes what it was. If Redis knows it, or a newer one, it has not forgotten it.
had = tonumber(had)
local newest = tonumber(record.request) or 0
if had and newest == had then return {'accepted', had, 0, 0, ''} end
if had and newest > had then return {'gone', 0, 0, 0, ''} end
if doubtful and (record.request ~= doubtful or record.state ~= 'in_doubt' or is_newer(record)
    or batch_state_for(record) == 'cancelled') then
  return {'gone', 0, 0, 0, ''}
elseif doubtful and may_still_send(record) then
  return {'in_doubt', record.request, 0, 0, ''}
end
local asked = {
  answers = parse_answers(column), resend = is_resend == '1' or nil, lane = lane, ends_at = now + tonumber(lasts_ms),
  channel = channel, country = country, request = had, is_personal = is_personal, asleep_until = 0, fields = fields,
}
if lane == 'interactive' and named ~= '' then
  asked.requester = requester_of(named, random)
  asked.steps_back = step_back_ms(asked, number)
  for _, field in ipairs({'requester', 'steps_back'}) do
    table.insert(fields, field)
    table.insert(fields, asked[field])
  end
end
local decision = decide(record, number, asked)

-- A person whose code could come only after the end of the request learns it at once. Nobody knows when a pause ends,
-- so a pause alone refuses no request.
if lane == 'interactive' and (decision.disposition == 'accepted' or decision.promotes) then
  local slot_us = earliest_slot(channel, asked.ends_at, place_of(asked, asked.ends_at))
  local late_ms = math.ceil(slot_us / 1000) - asked.ends_at
  if late_ms > 0 and not is_test_number(number) then
    decision.disposition, decision.until_ms, decision.refused_by = 'overloaded', now + late_ms, 'backlog'
    decision.promotes = nil
  end
end
if decision.refused_by then count_refusal(decision.refused_by) end

-- The first write must be one that Redis refuses when it is out of memory, or a part of the change would be made: Redis
-- refuses a SET, and would allow a DEL.
local answer = {decision.disposition, decision.request, decision.until_ms, decision.promotes and 1 or 0, decision.limit}
redis.call('SET', token_key, cjson.encode(answer), 'PX', token_ms)

if decision.disposition == 'accepted' then
  write_request(key, record, flat, number, decision.request, asked)
elseif decision.promotes then
  -- The request stays the one that it was: for its subaccount, and a re-verification. An alias is replaced as a whole.
  local has_alias = false
  for i = 1, #fields, 2 do
    has_alias = has_alias or fields[i] == 'alias'
    if fields[i] == 'subaccount' then fields[i + 1] = record.subaccount or fields[i + 1] end
  end
  if has_alias then delete_alias(key, record) end
  put(key, 'lane', lane, 'channel', channel, 'ends_at', asked.ends_at, 'updated_at', now)
  join_backlog(number, channel, place_of(asked, asked.ends_at))
  set_or_delete(key, 'country', country)
  note_person(key, record, asked, number)
  if fields[1] then put(key, unpack(fields)) end
  if record.state == 'waiting' and ENDS_BY_PROMOTION[record.reason] then
    drop(key, 'due_at', 'detail')
    set_state(key, record, number, 'queued', '', math.min(now + config.enqueue_again_ms, asked.ends_at))
  else
    redis.call('ZADD', agenda_key, 'LT', asked.ends_at, number)
  end
end
return answer
