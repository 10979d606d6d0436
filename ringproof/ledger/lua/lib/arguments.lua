-- The keys and arguments that every script gets. A script's own come after them: KEYS[7…] and ARGV[3…].
local agenda_key, policy_key, limits_key, pace_key, pauses_key, refusals_key = unpack(KEYS, 1, 6)
local default_config, prefix = ARGV[1], ARGV[2]

-- Returns the key of a number's record. A script that finds numbers in Redis cannot get their keys in KEYS.
local function key_of_record(number)
  return prefix .. ':number:' .. number
end
