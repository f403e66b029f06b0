-- Whatever was lost (a job, a queue, a worker's share): what is due gets a drain job.
-- Also writes which rules are in force, and drops from the lists the deliveries that have expired.
local due, rules, outage = KEYS[1], KEYS[2], KEYS[3] -- from 4 on: the lists to prune
local sign_seconds, in_force, refused, retain_ms, delivery_prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local first_wake_argument = 6

local now = clock()
redis.call('HSET', rules, 'in_force', in_force, 'refused', refused)
redis.call('EXPIRE', rules, sign_seconds)
for i = 4, #KEYS do
  -- A delivery that came long ago may have been replayed since: only what has expired goes. Some at each tick.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', text(now - retain_ms), 'LIMIT', 0, 500)) do
    if redis.call('EXISTS', delivery_prefix .. id) == 0 then
      redis.call('ZREM', KEYS[i], id)
    end
  end
end
-- All that met the outage was credited meanwhile, by a worker under way or by hand: no delivery will end it.
if redis.call('ZCARD', due) == 0 then
  redis.call('DEL', outage)
end
if #redis.call('ZRANGEBYSCORE', due, '-inf', text(now), 'LIMIT', 0, 1) > 0 then
  ensure_drain(wake_from(first_wake_argument))
end
