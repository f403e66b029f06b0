-- A customer's facts in the ledger, from the newest claimed to the first.
-- KEYS: customers     ARGV: customer, subject to go on from or '', most
local function named(name)
  return name and 'credits:' .. name
end

local subject
if ARGV[2] == '' then
  subject = named(redis.call('HGET', KEYS[1], ARGV[1]))
else
  subject = named(redis.call('HGET', ARGV[2], 'before'))
end
local found = {}
while subject and #found < tonumber(ARGV[3]) do
  found[#found + 1] = subject
  subject = named(redis.call('HGET', subject, 'before'))
end
return found
