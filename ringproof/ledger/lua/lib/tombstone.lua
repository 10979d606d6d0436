-- needs: arguments, clock, record, transition
-- What remains of an erased number while a code of it may be live: the end of that code, under an HMAC of the number.
-- The HMAC's key is random and is kept in Redis. It expires with the last tombstone: then none can be traced.

local function hmac(secret, text)
  local function padded(pad)
    return (secret:gsub('.', function(letter) return string.char(bit.bxor(letter:byte(), pad)) end))
  end
  local inner = redis.sha1hex(padded(0x36) .. text)
  inner = inner:gsub('..', function(digits) return string.char(tonumber(digits, 16)) end)
  return redis.sha1hex(padded(0x5c) .. inner)
end

local function secret_key()
  return prefix .. ':erased'
end

local function tombstone_key(number, secret)
  return prefix .. ':erased:' .. hmac(secret, number)
end

-- Writes the tombstone of a number whose code may be live. `random` becomes the HMAC's key if Redis has none.
local function leave_tombstone(number, record, random)
  local lives_ms = milliseconds(record, 'live_until') - now
  if lives_ms <= 0 then return end
  redis.call('SET', secret_key(), random, 'NX', 'PX', lives_ms)
  if redis.call('PTTL', secret_key()) < lives_ms then redis.call('PEXPIRE', secret_key(), lives_ms) end
  local left = {live_until = record.live_until, request = record.request, lane = record.lane, channel = record.channel}
  redis.call('SET', tombstone_key(number, redis.call('GET', secret_key())), cjson.encode(left), 'PX', lives_ms)
end

-- Reads the tombstone of a number; nil if there is none. Also returns its key.
local function read_tombstone(number)
  local secret = redis.call('GET', secret_key())
  if not secret then return nil end
  local key = tombstone_key(number, secret)
  local left = redis.call('GET', key)
  return left and cjson.decode(left) or nil, key
end

-- Reads the record of a number that is to have one. If the number was erased while a code may be live, writes and
-- returns an expired record with the end of that code, so that no second code is sent.
local function read_or_revive(key, number)
  local record, flat = read(key)
  if record.state then return record, flat end
  local left, left_key = read_tombstone(number)
  if not left then return record, flat end
  redis.call('HSET', key, 'request', math.max(left.request + 1, math.floor(now / 1000)), 'lane', left.lane,
    'channel', left.channel, 'live_until', left.live_until)
  redis.call('DEL', left_key)
  set_state(key, {}, number, 'expired', '')
  return read(key)
end
