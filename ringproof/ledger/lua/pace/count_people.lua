-- needs: people
-- Counts the codes that people have asked for, as their caps count them now.
-- output: codes of the last day; then country, codes, country, codes … of the last hour
local counted = {codes_of_people('people_codes_per_day', 'all')}
for _, country in ipairs(redis.call('HKEYS', countries_key)) do
  local codes = codes_of_people('country_codes_per_hour', country)
  if codes > 0 then
    counted[#counted + 1] = country
    counted[#counted + 1] = codes
  end
end
return counted
