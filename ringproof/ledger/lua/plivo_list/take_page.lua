-- needs: clock, record, pace, pauses
-- look: whose turn it is to read the next page of Plivo's list, at one in ten of the account's slots at most.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   KEYS[7] - the look, a hash (times in ms, but for next_us):
--   wanted              since when a code is over and Plivo's list was not read afterwards; or a person wants all of it
--   looked              when the last look began that came to its end
--   trouble             why the last page was not read
--   found:WORD          how many numbers of the present look, or of the last, became what
--   mark                the newest date that it found: the next one ends there
--   began, offset       when the present look began, and its next page; `total`, `newest`: what it has found so far
--   next_us             before when no page is read
--         ARGV[3] - '1' if all of the list is to be read, to its end
-- output: now in µs, the page's slot in µs (0: nobody's turn now), when to ask again in µs (0: nothing is wanted),
--         when the look began, the page's offset, where it ends (ms), and how many numbers there were (-1: unknown)
local ONE_SLOT_IN = 10
local WITHIN_US = 5000000         -- a slot beyond it is left to others
local FIRST_MS = 24 * 3600 * 1000 -- a first look goes back so far

local look = read(KEYS[7])
if not look.wanted or pauses.credentials then return {now_us, 0, 0, 0, 0, 0, -1} end
local slot_us = math.max(now_us, pace.account)
local next_us = tonumber(look.next_us) or 0
if next_us > now_us then return {now_us, 0, next_us, 0, 0, 0, -1} end
if slot_us > now_us + WITHIN_US then return {now_us, 0, slot_us, 0, 0, 0, -1} end

local spacing = spacing_us('account')
redis.call('HSET', KEYS[7], 'next_us', math.ceil(slot_us + ONE_SLOT_IN * spacing))
move('account', slot_us + spacing)
keep_pace()
if not look.began then
  look.began, look.offset, look.total = now, 0, nil
  redis.call('HDEL', KEYS[7], 'total')
  redis.call('HSET', KEYS[7], 'began', now, 'offset', 0)
  for field in pairs(look) do
    if field:find('^found:') then redis.call('HDEL', KEYS[7], field) end
  end
end
local mark = ARGV[3] == '1' and 0 or tonumber(look.mark) or now - FIRST_MS
return {
  now_us, slot_us, 0, tonumber(look.began), tonumber(look.offset), mark, tonumber(look.total) or -1,
}
