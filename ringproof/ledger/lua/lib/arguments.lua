-- The arguments that every script gets, and the keys that any script may need. A script's own arguments begin with
-- ARGV[3]. KEYS has its own keys alone, which it reads and writes: Redis asks for both rights for each of them. For the
-- keys here it asks for the rights that the commands need, so that a user may have the right to read a policy only.
-- `defaults` has the durations, as ' lease_ms=45000 code_ms=900000 …', and behind a line break the policy's defaults as
-- JSON. A worker puts ' credentials=DIGEST' before the durations: a digest of what it uses at Plivo.
-- `expected_us` is the time that the caller expects Redis' clock to have ('': it does not know the clock).
local defaults, prefix, expected_us = ARGV[1], ARGV[2]:match('^(%S*) ?(%d*)$')
local agenda_key, policy_key, limits_key = prefix .. ':agenda', prefix .. ':policy', prefix .. ':limits'
local pace_key, pauses_key, refusals_key = prefix .. ':pace', prefix .. ':pauses', prefix .. ':refusals'
local doubts_key = prefix .. ':in_doubt'

-- Returns the key of a number's record. A script that finds numbers in Redis cannot get their keys in KEYS.
local function key_of_record(number)
  return prefix .. ':number:' .. number
end
