-- The time of all scripts, by Redis' own clock. Tests put another piece in its place.
-- Gives `now_us` (µs since 1970) and `now` (ms).
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
