-- needs: reopening
-- Stores deliveries that a command made itself, and leases them to the caller. A delivery that is known gets the new
-- body and runs again. It is one step, so that no worker takes a delivery before the caller does.
-- Returns {id, type, body, strikes, attempt} for each.
local due, format = unpack(KEYS)
local delivery_prefix, body_prefix, status_prefix, lease_ms, format_number = unpack(ARGV, 1, 5)
local first_delivery = 6 -- three arguments each: id, type, body. Bodies are binary, which JSON cannot carry.

local now = text(clock())
local leased = {}
note_format(format, format_number)
for i = first_delivery, #ARGV, 3 do
  local id, type_, body = unpack(ARGV, i, i + 2)
  local key = delivery_prefix .. id
  redis.call('SET', body_prefix .. id, body) -- first: no delivery may wait without its body
  if redis.call('HSETNX', key, 'received_at', now) == 1 then
    redis.call('HSET', key, 'status', 'waiting')
  end
  redis.call('HSET', key, 'type', type_)
  redis.call('HDEL', key, 'erased_at')
  leased[#leased + 1] = lease_by_id(id, due, delivery_prefix, body_prefix, status_prefix, lease_ms)
end
return leased
