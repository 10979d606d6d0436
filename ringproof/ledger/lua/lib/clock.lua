-- now: the one clock of all scripts, put in front of each of them. Tests put another in its place.
-- output: now_us (microseconds since 1970) and now (milliseconds), both by Redis
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
