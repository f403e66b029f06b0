-- needs: reopening
-- Leases deliveries by their ids, settled or not: the caller works on them itself. It is one step, so that no worker
-- takes a delivery before the caller does. A delivery without a body cannot run again: it is left as it is.
-- Returns {id, type, body, strikes, attempt} for each that is leased.
local due = KEYS[1]
local delivery_prefix, body_prefix, status_prefix, lease_ms = unpack(ARGV, 1, 4)
local are_named = ARGV[5] == '1' -- by a person
local replayed_by = ARGV[6] ~= '' and ARGV[6] or nil
local first_id = 7

local leased = {}
for i = first_id, #ARGV do
  leased[#leased + 1] =
    lease_by_id(ARGV[i], due, delivery_prefix, body_prefix, status_prefix, lease_ms, are_named, replayed_by)
end
return leased
