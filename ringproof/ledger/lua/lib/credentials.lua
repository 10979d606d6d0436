-- needs: arguments, clock, senders, pauses
-- The credentials that Plivo does not know (401). Those of each worker are judged alone: a token may be new on one host
-- and old on another. Only if Plivo knows those of no worker, all sending is paused.
local UNUSED_MS = 3600000         -- credentials that no worker has used for so long are forgotten

local function forget_unknown(digest)
  local field = 'unknown:' .. digest
  clear_pauses(field, field .. '_slot', field .. '_probe')
end

local function unknown_digests()
  local digests = {}
  for field in pairs(pauses) do digests[#digests + 1] = field:match('^unknown:(%x*)$') end
  return digests
end

-- Whether a worker is alive that takes messages of a lane, and whose credentials Plivo may know.
local function has_known_sender()
  local beats = redis.call('HGETALL', prefix .. ':heartbeats')
  for i = 2, #beats, 2 do
    local is_json, facts = pcall(cjson.decode, beats[i])
    local has_all = is_json and type(facts) == 'table' and tonumber(facts.at) and type(facts.queues) == 'table'
      and type(facts.credentials) == 'string'
    if has_all and math.abs(now - facts.at) <= ALIVE_MS and not pauses['unknown:' .. facts.credentials] then
      for _, queue in ipairs(facts.queues) do
        if LANE_QUEUES[queue] then return true end
      end
    end
  end
  return false
end

-- Begins or ends the pause of all sending. `caller_sends` says that the caller takes messages of a lane, with which it
-- needs no heartbeat.
local function judge_all_credentials(caller_sends)
  local next_probe
  for _, digest in ipairs(unknown_digests()) do
    local used_at = pauses['unknown:' .. digest .. '_slot']
    if used_at and used_at + UNUSED_MS < now then
      forget_unknown(digest)
    else
      next_probe = math.min(next_probe or math.huge, pause_time('unknown:' .. digest .. '_probe'))
    end
  end
  local is_callers_known = not pauses['unknown:' .. callers_digest]
  if not next_probe or caller_sends and is_callers_known or has_known_sender() then
    clear_pauses('credentials', 'credentials_probe')
  else
    set_pauses({credentials = pauses.credentials or now, credentials_probe = next_probe})
  end
end

-- Notes what one answer to the caller shows of its credentials. Any answer but 401 shows that Plivo knows them, if the
-- request has a later slot than the one that Plivo refused. After a jump of Redis' clock no slot may be later for long:
-- then any answer counts.
local function judge_credentials(is_unauthorized, slot)
  local field = 'unknown:' .. callers_digest
  local refused_slot = pause_time(field .. '_slot')
  if is_unauthorized then
    if not pauses[field] then set_pauses({[field] = now, [field .. '_probe'] = now + PROBE_MS}) end
    set_pauses({[field .. '_slot'] = slot})
    judge_all_credentials(false)
    return
  end
  if slot >= refused_slot or refused_slot > now then forget_unknown(callers_digest) end
  if pauses.credentials and not pauses[field] then clear_pauses('credentials', 'credentials_probe') end
end
