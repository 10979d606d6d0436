-- needs: arguments, clock, changes, record, hmac, transition, limits
-- What remains of an erased number while a code of it may be live, or something counts for its caps: the end of that
-- code and these counts, under an HMAC of the number. Otherwise an erasure would reset the caps.
-- The HMAC's key is random and is kept in Redis. It expires with the last tombstone: then none can be traced.

local function secret_key()
  return prefix .. ':erased'
end

local function tombstone_key(number, secret)
  return prefix .. ':erased:' .. hmac(secret, number)
end

-- Returns the HMAC's key; false if there is none.
local kept_secret
local function read_secret()
  if kept_secret == nil then kept_secret = redis.call('GET', secret_key()) end
  return kept_secret
end

-- Writes the tombstone of a number whose code may be live, or whose caps have counted something. `random` becomes the
-- HMAC's key if Redis has none.
local function leave_tombstone(number, record, random)
  local is_live = milliseconds(record, 'live_until') > now
  local kept_ms = math.max(milliseconds(record, 'live_until'), end_of_counts(record)) - now
  if kept_ms <= 0 then return end
  redis.call('SET', secret_key(), random, 'NX', 'PX', kept_ms)
  kept_secret = nil
  if redis.call('PTTL', secret_key()) < kept_ms then redis.call('PEXPIRE', secret_key(), kept_ms) end
  -- `live_until` shows when the last code was sent. A verified number has none, and the time of its last code instead.
  local left = {live_until = record.live_until, code_sent_at = not record.live_until and record.code_sent_at or nil}
  left.at = now  -- its times move with Redis' clock from here on
  for _, field in ipairs(COUNTS) do left[field] = record[field] end
  if is_live then left.request, left.lane, left.channel = record.request, record.lane, record.channel end
  redis.call('SET', tombstone_key(number, read_secret()), cjson.encode(left), 'PX', kept_ms)
end

-- Reads the tombstone of a number; nil if there is none. Also returns its key.
local function read_tombstone(number)
  local secret = read_secret()
  if not secret then return nil end
  local key = tombstone_key(number, secret)
  local kept = redis.call('GET', key)
  if not kept then return nil, key end
  local left = cjson.decode(kept)
  for field, at in pairs(moved_times(left, left.at)) do left[field] = at end
  if milliseconds(left, 'live_until') <= now then left.request, left.lane, left.channel = nil, nil, nil end
  return left, key
end

-- Reads the record of a number that is to have one. If the number was erased while a code may be live, writes and
-- returns an expired record with the end of that code, so that no second code is sent. If the number was erased and
-- only its counts are left, returns these, and writes nothing: the caller may refuse the request. `record` and `flat`
-- are the record as the script has read it; nil if it has not.
local function read_or_revive(key, number, record, flat)
  if not record then record, flat = read(key) end
  if record.state then return record, flat end
  local left, left_key = read_tombstone(number)
  if not left then return record, flat end
  if milliseconds(left, 'live_until') <= now then return left, flat end
  put(key, 'request', math.max(left.request + 1, math.floor(now / 1000)), 'lane', left.lane,
    'channel', left.channel, 'live_until', left.live_until)
  write_counts(key, left)
  redis.call('DEL', left_key)
  set_state(key, {}, number, 'expired', '')
  return read(key)
end
