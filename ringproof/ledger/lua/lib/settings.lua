-- needs: arguments, clock
-- The settings that all scripts follow: durations, and the workers' policy.
-- Gives `config`, by the names of Python's Durations (with _ms) and Policy. The caller passes the durations, and the
-- policy's defaults. The policy in Redis overrides these, and an operator's limits override both while they last.
-- Most scripts need a few of the settings, so each is read when a script first asks for it.
-- The operator's limits also have the blocks of numbers whose caps are lifted: 'over_cap:+1415555' -> until when (ms).
local DAY_MS = 86400000

local function value_of(name, text)
  return name ~= 'countries' and tonumber(text) or text  -- a list of countries may be '+881'
end

local limits, over_cap
local function operators_limits()
  if not limits then
    limits, over_cap = {}, {}
    local flat = redis.call('HGETALL', limits_key)
    for i = 1, #flat, 2 do
      local block = flat[i]:match('^over_cap:(.+)$')
      if block then over_cap[block] = tonumber(flat[i + 1]) else limits[flat[i]] = value_of(flat[i], flat[i + 1]) end
    end
    if limits.until_ms and limits.until_ms <= now then limits = {} end
  end
  return limits
end

-- Returns when (ms) the operator's rates end; nil if there are none.
local function end_of_limits()
  return operators_limits().until_ms
end

-- Whether an operator has lifted the caps on people's codes for the block that has this number.
local function is_over_cap(number)
  operators_limits()
  for block, until_ms in pairs(over_cap) do
    if until_ms > now and number:sub(1, #block) == block then return true end
  end
  return false
end

local default_policy
local function default_of(name)
  default_policy = default_policy or cjson.decode(defaults:match('\n(.*)$'))
  return default_policy[name]
end

local function read_setting(known, name)
  local _, at = defaults:find(' ' .. name .. '=', 1, true)
  local value = at and tonumber(defaults:match('^%d+', at + 1)) or operators_limits()[name]
  if value == nil then value = value_of(name, redis.call('HGET', policy_key, name) or nil) end
  if value == nil then value = default_of(name) end
  rawset(known, name, value)
  return value
end

local config = setmetatable({}, {__index = read_setting})

-- Reads several fields of the policy at once, for a script that needs all of them.
local function read_policy(names)
  local values = redis.call('HMGET', policy_key, unpack(names))
  for i, name in ipairs(names) do
    local value = operators_limits()[name]
    if value == nil then value = value_of(name, values[i] or nil) end
    rawset(config, name, value)
  end
end

-- Has all settings read again: an operator has changed them.
local function forget_settings()
  for name in pairs(config) do rawset(config, name, nil) end
  limits = nil
end
