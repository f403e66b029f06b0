-- Returns whether a claim with these fields has a grant that Polar lacks.
local function is_unsettled(fields)
  for i = 1, #fields, 2 do
    local meter = string.match(fields[i], '^grant:(.*)$')
    if meter and not value_of('settled:' .. meter, fields) then
      return true
    end
  end
  return false
end
