-- Whatever was lost (a job, a queue, a worker's share): what is due gets a drain job.
-- Also says which rules are in force, and drops from the lists what has expired by now.
-- KEYS: due, rules, outage, lists to prune...     ARGV: seconds, rules in force, retention ms, delivery prefix, wake...
local now = clock()
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[1])
for i = 4, #KEYS do
  -- What came long ago may have been replayed since: only what has expired goes. A share at each tick.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', text(now - ARGV[3]), 'LIMIT', 0, 500)) do
    if redis.call('EXISTS', ARGV[4] .. id) == 0 then
      redis.call('ZREM', KEYS[i], id)
    end
  end
end
-- Who met the outage is credited, by a worker that was on its way or by hand: nobody is left to see its end.
if redis.call('ZCARD', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[3])
end
if #redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 1) > 0 then
  ensure_drain(wake_from(5))
end
