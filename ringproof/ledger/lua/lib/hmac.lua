-- The HMAC (SHA-1, in hex) of a text that may not be kept itself. It needs no other piece.
local function hmac(secret, text)
  local function padded(pad)
    return (secret:gsub('.', function(letter) return string.char(bit.bxor(letter:byte(), pad)) end))
  end
  local inner = redis.sha1hex(padded(0x36) .. text)
  inner = inner:gsub('..', function(digits) return string.char(tonumber(digits, 16)) end)
  return redis.sha1hex(padded(0x5c) .. inner)
end
