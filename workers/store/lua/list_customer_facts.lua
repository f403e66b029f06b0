-- Returns the subjects of a customer's facts, a page at a time, the newest first. It follows the chain that ledger.lua
-- describes: from its beginning, or from after the last subject of the page before.
local customers = KEYS[1]
local customer, last_subject, most = ARGV[1], ARGV[2], tonumber(ARGV[3])

local function subject_of(name)
  return name and 'credits:' .. name
end

local subject
if last_subject == '' then
  subject = subject_of(newest_fact(customers, customer))
else
  subject = subject_of(on_fact('HGET', last_subject, 'before'))
end
local found = {}
while subject and #found < most do
  found[#found + 1] = subject
  subject = subject_of(on_fact('HGET', subject, 'before'))
end
return found
