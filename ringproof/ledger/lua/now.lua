-- needs: clock
-- Returns Redis' time.
-- output: µs since 1970
return now_us
