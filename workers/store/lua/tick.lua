-- Queues a drain job if something is due, whatever was lost before: a job, a queue, or a worker with its leases. Also
-- writes which rules are in force and since when there are workers, and removes expired deliveries from the lists by
-- status.
local due, rules, outage, began = unpack(KEYS, 1, 4)
local first_list = 5
local rules_seconds, in_force, refused, retention_ms, delivery_prefix = unpack(ARGV, 1, 5)
local first_drain_argument = 6

local now = clock()
local known = tonumber(redis.call('GET', began) or 'inf')
if known > now then -- the first tick of all, or the clock was ahead
  redis.call('SET', began, text(now))
end
redis.call('HSET', rules, 'in_force', in_force, 'refused', refused)
redis.call('EXPIRE', rules, rules_seconds)
for i = first_list, #KEYS do
  -- An old delivery may have been replayed lately, so its age does not tell whether it has expired.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', text(now - retention_ms), 'LIMIT', 0, 500)) do
    if redis.call('EXISTS', delivery_prefix .. id) == 0 then
      redis.call('ZREM', KEYS[i], id)
    end
  end
end
-- If nothing waits, no delivery is left to end an outage: a worker under way, or a person, has granted all that it
-- held up.
if redis.call('ZCARD', due) == 0 then
  redis.call('DEL', outage)
end
if #redis.call('ZRANGEBYSCORE', due, '-inf', text(now), 'LIMIT', 0, 1) > 0 then
  ensure_drain(drain_job_from(first_drain_argument))
end
