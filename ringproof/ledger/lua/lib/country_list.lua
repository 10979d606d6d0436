-- needs: settings
-- The countries that get codes: `config.countries` names them, with commas between them. A name is a country, `all` for
-- all countries, the calling code of a network without a country such as `+881`, or `personal` for the personal numbers
-- of the named countries. An empty list stands for `all`.
local are_on_list = {}
local function is_on_list(name)
  if are_on_list[name] == nil then
    local names = config.countries == '' and 'all' or config.countries
    are_on_list[name] = (',' .. names .. ','):find(',' .. name .. ',', 1, true) ~= nil
  end
  return are_on_list[name]
end
