-- needs: drain_jobs
-- Stores new deliveries and queues a drain job for them. It is one step, so that a 2xx from the receiver means that
-- the delivery is kept and that a worker will see it. The hash of a delivery is written last: it is what makes Polar's
-- next attempt a duplicate. Returns 'accepted' or 'duplicate' for each.
local due, waiting, counts = unpack(KEYS)
local delivery_prefix, body_prefix, deliveries = ARGV[1], ARGV[2], tonumber(ARGV[3])
local first_delivery = 4 -- three arguments each: id, type, body. Bodies are binary, which JSON cannot carry.
local drain_job = drain_job_from(first_delivery + 3 * deliveries)

local now = text(clock())
local is_drain_needed = false
local types, bodies, members = {}, {}, {} -- of the new deliveries; one command stores all their bodies

-- Asks for all deliveries with one command. Usually none is known, so that one answer is enough.
local function is_any_known()
  local hashes = {}
  for i = 1, deliveries do
    hashes[i] = delivery_prefix .. ARGV[first_delivery + 3 * (i - 1)]
  end
  return deliveries > 0 and redis.call('EXISTS', unpack(hashes)) > 0
end

local may_be_known = is_any_known()

local function accept(id, type_, body)
  local key = delivery_prefix .. id
  if types[id] then
    return 'duplicate'
  end
  if may_be_known and redis.call('EXISTS', key) == 1 then
    if redis.call('HGET', key, 'status') == 'waiting' then
      redis.call('ZADD', due, 'NX', now, id)
      is_drain_needed = true
    end
    return 'duplicate'
  end
  types[id] = type_
  append(bodies, body_prefix .. id, body)
  append(members, now, id)
  return 'accepted'
end

local dispositions = {}
for i = 1, deliveries do
  local id, type_, body = unpack(ARGV, first_delivery + 3 * (i - 1), first_delivery + 3 * i - 1)
  dispositions[i] = accept(id, type_, body)
  count('webhooks', (type_ == '' and 'unreadable' or type_) .. ' ' .. dispositions[i])
end
if #members > 0 then
  redis.call('MSET', unpack(bodies))
  redis.call('ZADD', due, unpack(members))
  redis.call('ZADD', waiting, unpack(members))
  for id, type_ in pairs(types) do
    redis.call('HSET', delivery_prefix .. id, 'type', type_, 'status', 'waiting', 'received_at', now, 'attempts', '0')
  end
  is_drain_needed = true
end
write_counts(counts)
if is_drain_needed then
  ensure_drain(drain_job)
end
return dispositions
