-- needs: arguments, clock
-- The settings that all scripts follow: durations, and the workers' policy.
-- Gives `config`, by the names of Python's Durations (with _ms) and Policy. The caller passes the defaults. The policy
-- in Redis overrides them, and an operator's limits override both while they last.
local DAY_MS = 86400000
local config

local function overlay(key)
  local fields, flat = {}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    fields[name] = name ~= 'countries' and tonumber(value) or value  -- a list of countries may be '+881'
  end
  if fields.until_ms and fields.until_ms <= now then return end
  for name, value in pairs(fields) do config[name] = value end
end

local function read_settings()
  config = cjson.decode(default_config)
  overlay(policy_key)
  overlay(limits_key)
end

read_settings()
