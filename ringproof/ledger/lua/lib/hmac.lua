-- The HMAC (SHA-1, in hex) of a text that may not be kept itself. It needs no other piece.
local function hmac(secret, text)
  local function padded(pad)
    local letters = setmetatable({}, {__index = function(known, letter)
      known[letter] = string.char(bit.bxor(letter:byte(), pad))
      return known[letter]
    end})
    return (secret:gsub('.', letters))
  end
  local inner = redis.sha1hex(padded(0x36) .. text)
  inner = inner:gsub('..', function(digits) return string.char(tonumber(digits, 16)) end)
  return redis.sha1hex(padded(0x5c) .. inner)
end
