-- needs: clock
-- now: Redis' time.
-- output: microseconds since 1970
return now_us
