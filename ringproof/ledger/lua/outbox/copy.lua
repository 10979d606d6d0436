-- needs: outbox
-- Copies the outbox, some events at a time, into a new stream that takes its place in the end. The new one has no bytes
-- of removed events: Redis keeps these in a stream until all events around them are gone.
-- input:  KEYS    the new stream; it expires if nobody goes on
--         ARGV    events at most
-- output: 1 if there are more events; 0 if the new stream has taken the place
local HOUR_MS = 3600000
local new_key, most = KEYS[1], tonumber(ARGV[3])
local last = redis.call('XREVRANGE', new_key, '+', '-', 'COUNT', 1)[1]
local entries = redis.call('XRANGE', outbox_key, last and '(' .. last[1] or '-', '+', 'COUNT', most)
for _, entry in ipairs(entries) do redis.call('XADD', new_key, entry[1], unpack(entry[2])) end
if #entries == most then
  redis.call('PEXPIRE', new_key, HOUR_MS)
  return 1
end
if last or entries[1] then
  redis.call('PERSIST', new_key)
  redis.call('RENAME', new_key, outbox_key)
else
  redis.call('DEL', outbox_key)
end
return 0
