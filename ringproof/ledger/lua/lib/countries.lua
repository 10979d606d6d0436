-- needs: networks, country_list
-- Whose numbers get codes, by the list of countries.

-- Returns why the list leaves a number out: `network`, `country` or `personal`; nil if it gets codes. `number` may be
-- a destination instead: a country, or the first digits of a number without one.
local function left_out_as(number, country, is_personal)
  local network = number:sub(1, 4)
  if NETWORKS[network] then return not is_on_list(network) and 'network' or nil end
  if not is_on_list('all') and not is_on_list(country) then return 'country' end
  return is_personal and not is_on_list('personal') and 'personal' or nil
end
