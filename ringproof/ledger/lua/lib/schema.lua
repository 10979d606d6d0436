-- needs: states, history_letters, words
-- How scripts know that a newer version has written a record. They leave such a record to a newer worker: they change
-- nothing of it, and what it stands for waits. Python's schema.py says more.

local function is_word(text)
  return #text <= 32 and text:find('^[a-z][a-z0-9_]*$') ~= nil
end

-- Whether a hash has a schema that is higher than ours.
local function has_newer_schema(record)
  return record.v ~= nil and record.v:find('^%d+$') ~= nil and tonumber(record.v) > SCHEMA
end

-- Whether only a newer version can go on with a record. A final state is known by itself, whatever its reason is.
local function is_newer(record)
  if has_newer_schema(record) then return true end
  local state, reason, lane, channel = record.state, record.reason, record.lane, record.channel
  if not state or FINAL[state] then return false end
  if not UNFINISHED[state] and state ~= 'code_sent' and is_word(state) then return true end
  return reason and not letter_of(reason) and is_word(reason)
    or lane and not KNOWN_LANES[lane] and is_word(lane)
    or channel and not KNOWN_CHANNELS[channel] and is_word(channel) or false
end
