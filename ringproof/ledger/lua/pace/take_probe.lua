-- needs: clock, pauses
-- Claims the probe that asks Plivo whether it accepts the credentials again. It is due every 30 s, for one caller.
-- output: 1 if the caller is to ask Plivo, or 0
if not pauses.credentials or pause_time('credentials_probe') > now then return 0 end
set_pauses({credentials_probe = now + PROBE_MS})
return 1
