-- needs: damage_signs, changes
-- Records that a person, or another program, has damaged: no hash under their key, or junk in a field. No script writes
-- such a record, and one of them must not keep a script from all other numbers.

-- Calls act() for the record of a key, and returns what it returns. Returns nil if the record is damaged; then its hash
-- and its entry on the agenda stay as they are. What Redis refuses for another reason ends the script.
local function unless_damaged(key, act)
  local is_done, answer = pcall(act)
  if is_done then return answer end
  local why = type(answer) == 'table' and answer.err or tostring(answer)
  for _, sign in ipairs(DAMAGE_SIGNS) do
    if why:find(sign, 1, true) then
      forget_changes(key, key:match(':number:(.+)$'))
      return nil
    end
  end
  error(answer, 0)
end
