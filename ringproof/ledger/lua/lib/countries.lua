-- needs: settings
-- The countries whose numbers get codes: `config.countries`, with commas between them ('': all countries).

local function is_on_list(name)
  return (',' .. config.countries .. ','):find(',' .. name .. ',', 1, true) ~= nil
end

-- Whether the workers' list of countries leaves a number out.
local function is_left_out(country)
  return config.countries ~= '' and not is_on_list(country)
end
