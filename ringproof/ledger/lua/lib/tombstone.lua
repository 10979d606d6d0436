-- needs: clock, record, transition
-- erased: what is left of a number that was erased while a code of it may live: that, under an HMAC of the number.
-- needs: now, facts, read, change   ARGV[2] - what all keys begin with: the key of what is left is made of the number
-- The HMAC's key is random, of this Redis, and ends with the last that was made by it. Then nobody can tell any more.
local function hmac(secret, text)
  local function padded(pad)
    return (secret:gsub('.', function(letter) return string.char(bit.bxor(letter:byte(), pad)) end))
  end
  local inner = redis.sha1hex(padded(0x36) .. text)
  inner = inner:gsub('..', function(digits) return string.char(tonumber(digits, 16)) end)
  return redis.sha1hex(padded(0x5c) .. inner)
end

local function secret_key() return ARGV[2] .. ':erased' end

local function left_key(number, secret) return ARGV[2] .. ':erased:' .. hmac(secret, number) end

local function leave(number, record, random)
  local lives_ms = milliseconds(record, 'live_until') - now
  if lives_ms <= 0 then return end
  redis.call('SET', secret_key(), random, 'NX', 'PX', lives_ms)
  if redis.call('PTTL', secret_key()) < lives_ms then redis.call('PEXPIRE', secret_key(), lives_ms) end
  local left = {live_until = record.live_until, request = record.request, lane = record.lane, channel = record.channel}
  redis.call('SET', left_key(number, redis.call('GET', secret_key())), cjson.encode(left), 'PX', lives_ms)
end

-- Reads a record for whoever asks for the number anew. Of one that was erased, and whose code may live still, it is that
-- of an expired request: the code can be doubled no more than any other.
local function recall(key, number)
  local record, flat = read(key)
  if record.state then return record, flat end
  local secret = redis.call('GET', secret_key())
  local left = secret and redis.call('GET', left_key(number, secret))
  if not left then return record, flat end
  local known = cjson.decode(left)
  redis.call('HSET', key, 'request', math.max(known.request + 1, math.floor(now / 1000)), 'lane', known.lane,
    'channel', known.channel, 'live_until', known.live_until)
  redis.call('DEL', left_key(number, secret))
  change(key, {}, number, 'expired', '')
  return read(key)
end
