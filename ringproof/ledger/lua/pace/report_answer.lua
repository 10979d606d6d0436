-- needs: clock, pace, plivo_signal
-- Applies Plivo's answer to a request that sent no code, such as a look-up or a probe, to all other requests.
-- input:  ARGV    what the answer means for others (Python's PlivoSignal), ms that Plivo asks all to wait ('': none),
--                 ms since the request's slot
-- output: none
local signal, retry_ms, ago_ms = unpack(ARGV, 3)
apply_signal(signal, now - tonumber(ago_ms), tonumber(retry_ms), false, '', {})
save_pace()
