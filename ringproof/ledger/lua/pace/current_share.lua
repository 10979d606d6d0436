-- needs: pace
-- Returns which part of the pace is used now: less than 1 for some seconds after several 429s.
-- output: from 0 to 1, as text, because Redis would cut the fraction of a number
return tostring(1 / slowness())
