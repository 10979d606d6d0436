-- needs: pace
-- share: how much of the pace is used at present: less than 1 for some seconds after several 429s.
-- input:  KEYS[1…6], ARGV[1], [2] - as begin
-- output: from 0 to 1, as text: a number would lose its fraction
return tostring(1 / slowness())
