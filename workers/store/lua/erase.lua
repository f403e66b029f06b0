-- Erases the bodies of deliveries, for `credits forget`; what else is known of them stays. Checking the status and
-- deleting the body are one step, so that a delivery that still waits never loses the body that it needs.
-- Returns the ids of the deliveries whose bodies were erased now.
local delivery_prefix, body_prefix = unpack(ARGV, 1, 2)
local first_id = 3

local now = text(clock())
local erased = {}
for i = first_id, #ARGV do
  local id = ARGV[i]
  local key = delivery_prefix .. id
  local status = redis.call('HGET', key, 'status')
  if status and status ~= 'waiting' and redis.call('DEL', body_prefix .. id) == 1 then
    redis.call('HSET', key, 'erased_at', now)
    erased[#erased + 1] = id
  end
end
return erased
