-- needs: arguments
-- What the codes of batches cost. The hash of a batch that has prices has `prices` (JSON: a country, 'US/call', '*' or
-- '*/call' -> millionths of the operator's currency), `spent`, and perhaps `budget`, in millionths, too. Its `pays` is
-- the name of the batch whose hash has these: its own, or for a resend that of the first batch.
-- A code is paid when it may be sent for the first time, before any byte goes to Plivo, and paid back if it was surely
-- not sent. So however workers die, no more is sent than the budget pays for.

local purses = {}  -- name of a batch that pays -> prices, spent, budget (nil: none), added; false: its hash is gone
local function purse_of(payer)
  if purses[payer] == nil then
    local key = prefix .. ':batch:' .. payer
    local prices, spent, budget = unpack(redis.call('HMGET', key, 'prices', 'spent', 'budget'))
    purses[payer] = prices and {
      key = key, prices = cjson.decode(prices), budget = tonumber(budget or nil),
      spent = tonumber(spent or nil) or 0, added = 0,
    }
  end
  return purses[payer]
end

-- Returns what a code costs, in millionths; nil if its country has no price.
local function cost_of(purse, list, country)
  local prices = purse.prices
  return prices[country .. '/' .. list] or prices[country] or prices['*/' .. list] or prices['*']
end

-- Whether a code would cost more than is left. Without its hash nobody knows what is left, and a code without a price
-- would cost nobody knows what.
local function is_beyond_budget(payer, list, country)
  local purse = purse_of(payer)
  if not purse then return true end
  if not purse.budget then return false end
  local cost = cost_of(purse, list, country)
  return cost == nil or purse.spent + purse.added + cost > purse.budget
end

-- Returns what a code costs, in millionths; nil if that is unknown.
local function price_of(payer, list, country)
  local purse = purse_of(payer)
  return purse and cost_of(purse, list, country) or nil
end

-- Whether so much is left of a budget.
local function can_pay(payer, cost)
  local purse = purse_of(payer)
  return purse and (not purse.budget or purse.spent + purse.added + cost <= purse.budget)
end

-- Whether nothing is left of a budget that would pay for the cheapest code.
local function is_spent(payer)
  local purse = purse_of(payer)
  if not purse then return true end
  local cheapest = math.huge
  for _, price in pairs(purse.prices) do cheapest = math.min(cheapest, price) end
  return purse.budget ~= nil and purse.spent + purse.added + cheapest > purse.budget
end

-- Adds what a code costs to what is spent, or takes it back (`times` -1).
local function spend(payer, list, country, times)
  local purse = purse_of(payer)
  if purse then purse.added = purse.added + times * (cost_of(purse, list, country) or 0) end
end

-- Writes what this script has spent. Each script that has this piece does so at its end.
local function write_spent()
  for _, purse in pairs(purses) do
    if purse and purse.added ~= 0 then redis.call('HINCRBY', purse.key, 'spent', string.format('%.0f', purse.added)) end
  end
end
