-- needs: clock, pace, plivo_signal
-- hear: what Plivo answered to a request that was about no send: a look-up, a probe.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin   ARGV[3] - news   ARGV[4] - ms that Plivo asked for ('': none)
-- output: none
hear(ARGV[3], now, tonumber(ARGV[4]), '', '', '')
keep_pace()
