-- needs: clock, pauses
-- probe: whether Plivo is to be asked now if it knows the credentials again; once in a while, for one of all who ask.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin
-- output: 1 or 0
if not pauses.credentials or since('credentials_probe') > now then return 0 end
pause({credentials_probe = now + PROBE_MS})
return 1
