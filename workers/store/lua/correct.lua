-- needs: changes, doubts, facts
-- Replaces the ledger's amounts with Polar's, for `credits rebuild`. All amounts of a fact change in one step. None
-- changes if any of them has changed since it was read: then a person must run `credits rebuild` again. Polar is known
-- to have the new amounts.
--
-- corrections: {fact, changes = {{field, before, after}}, read = {{subject, fields}}, corrected = {{subject, fields}}};
--              `read` has the claims as they were read, `corrected` has what they become.
-- Returns for each 1, or 0 where something has changed meanwhile.
local unconfirmed, mismatches = unpack(KEYS)
local corrections = cjson.decode(ARGV[1])

local function has(subject, fields)
  for i = 1, #fields, 2 do
    if on_fact('HGET', subject, fields[i]) ~= fields[i + 1] then
      return false
    end
  end
  return true
end

local function is_as_read(correction)
  for _, claim in ipairs(correction.read) do
    if not has(claim.subject, claim.fields) then
      return false
    end
  end
  return is_unchanged(correction.fact, correction.changes)
end

local function correct(correction)
  if not is_as_read(correction) then
    return 0
  end
  for _, claim in ipairs(correction.corrected) do
    write_fact(claim.subject, claim.fields)
    for i = 1, #claim.fields, 2 do
      local meter = string.match(claim.fields[i], '^grant:(.*)$')
      if meter then
        end_doubt(claim.subject, meter, unconfirmed, mismatches)
      end
    end
  end
  write_changes(correction.fact, correction.changes)
  return 1
end

local done = {}
for i, correction in ipairs(corrections) do
  done[i] = correct(correction)
end
return done
