-- needs: breaker
-- output: for each country whose breaker has judged a code or is open: its name, how many codes it looks at, how many
--         of them were entered, since when it is open (ms; 0: closed), and from when on the next probe may be sent (ms)
local shown, named = {}, {}
for _, field in ipairs(redis.call('HKEYS', breakers_key)) do
  local name = field:match('^(.+):%l+$')
  if not named[name] then
    named[name] = true
    local breaker = read_breaker(name)
    shown[#shown + 1] = {
      name, #breaker.codes, count_entered(breaker.codes), breaker.is_open and breaker.since or 0, breaker.next,
    }
  end
end
return shown
