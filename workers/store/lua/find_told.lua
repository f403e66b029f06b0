-- needs: told
-- Returns for each order 1 if it is told: its webhook came and was skipped (see told.lua), else 0.
local prefix, told_ms = ARGV[1], tonumber(ARGV[2])
local first_order = 3

local now = clock()
local found = {}
for i = first_order, #ARGV do
  found[#found + 1] = is_told(prefix, told_ms, now, ARGV[i]) and 1 or 0
end
return found
