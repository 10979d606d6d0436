-- needs: batch_state
-- Returns the batch state that decides whether a record may be sent to.
-- input:  ARGV    the record's batch ('': none), lane, `joined_by` ('': none)
-- output: the state; '' if the record is no row, or if a person has taken the request over
local batch, lane, joined_by = unpack(ARGV, 3)
return batch_state_for({batch = batch ~= '' and batch or nil, lane = lane, joined_by = joined_by}) or ''
