-- needs: chain, facts
-- Returns the subjects of a customer's facts, a page at a time, the newest first. It follows their chain (see
-- chain.lua): from its beginning, or from after the last subject of the page before.
local customers = KEYS[1]
local customer, last_subject, most = ARGV[1], ARGV[2], tonumber(ARGV[3])

local subject = next_subject(customers, customer, last_subject)
local found = {}
while subject and #found < most do
  found[#found + 1] = subject
  subject = subject_named(on_fact('HGET', subject, 'before'))
end
return found
