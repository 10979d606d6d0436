-- needs: clock, record, pace, pauses
-- Gives one worker the turn to read the next page of Plivo's list, with a slot: at most one in ten of the account's.
-- input:  KEYS    the scan, a hash (times in ms, next_us in µs):
--   wanted              since when a scan is wanted: for a code that has died since the last one, or for an operator
--   looked              when the last finished scan began
--   trouble             why the last page was not read
--   found:WORD          how many numbers of this scan, or of the last one, had this result
--   mark                the newest date that the last scan saw: the next one ends there
--   began, offset       when this scan began, and its next page; `total`, `newest`: what it has found so far
--   next_us             no page is read before
--         ARGV    '1' to read the whole list, to its end
-- output: now in µs, the page's slot in µs (0: not this worker's turn), when to ask again in µs (0: no scan is wanted),
--         when the scan began, the page's offset, the date at which the scan ends (ms), how many numbers there were
--         (-1: unknown)
local key = KEYS[1]
local is_whole_list = ARGV[3] == '1'
local ONE_SLOT_IN = 10
local WITHIN_US = 5000000         -- a slot beyond this is left to other requests
local FIRST_MS = 24 * 3600 * 1000 -- the first scan goes back so far

local scan = read(key)
if not scan.wanted or pauses.credentials or leaves_work() then return {now_us, 0, 0, 0, 0, 0, -1} end
local slot_us = next_slot('sms')
save_pace()  -- it has begun again if the clock has jumped
local spacing = spacing_us('account')
local next_us = tonumber(scan.next_us) or 0
local is_possible = next_us <= now_us + WITHIN_US + ONE_SLOT_IN * spacing  -- or Redis' clock was set back
if is_possible and next_us > now_us then return {now_us, 0, next_us, 0, 0, 0, -1} end
if slot_us > now_us + WITHIN_US then return {now_us, 0, slot_us, 0, 0, 0, -1} end

redis.call('HSET', key, 'next_us', math.ceil(slot_us + ONE_SLOT_IN * spacing))
take_slot('sms', slot_us, slot_us, 'question')
save_pace()
if not scan.began then
  scan.began, scan.offset, scan.total = now, 0, nil
  redis.call('HDEL', key, 'total')
  redis.call('HSET', key, 'began', now, 'offset', 0)
  for field in pairs(scan) do
    if field:find('^found:') then redis.call('HDEL', key, field) end
  end
end
local mark = is_whole_list and 0 or math.min(tonumber(scan.mark) or now - FIRST_MS, now)
return {
  now_us, slot_us, 0, tonumber(scan.began), tonumber(scan.offset), mark, tonumber(scan.total) or -1,
}
