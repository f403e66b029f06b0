-- Write Polar's amounts over those of the ledger: all of a fact's at once, unless any has changed meanwhile.
-- ARGV: JSON [[fact, [[field, taken before, taken after], ...],
--              [[subject, fields as they are], ...], [[subject, fields as they are to be], ...]], ...]
-- Returns for each 1, or 0 where something has changed since it was worked out.
local function stands(subject, fields)
  for i = 1, #fields, 2 do
    if redis.call('HGET', subject, fields[i]) ~= fields[i + 1] then
      return false
    end
  end
  return true
end

local function correct(fact, changes, grants, corrected)
  local is_as_before = is_as_worked_out(fact, changes)
  for _, grant in ipairs(grants) do
    is_as_before = is_as_before and stands(unpack(grant))
  end
  if not is_as_before then
    return 0
  end
  for _, grant in ipairs(corrected) do
    write(unpack(grant))
  end
  note_taken(fact, changes)
  return 1
end

local done = {}
for i, item in ipairs(cjson.decode(ARGV[1])) do
  done[i] = correct(unpack(item))
end
return done
