-- Whatever was lost (a job, a queue, a worker's share): what is due gets a drain job.
-- Also says which rules are in force, and drops from the lists what has expired by now.
-- KEYS: due, rules, lists to prune...     ARGV: seconds, rules in force, retention ms, wake...
local now = clock()
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[1])
for i = 3, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', text(now - ARGV[3] - 604800000)) -- settled within a week
end
if #redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 1) > 0 then
  ensure_drain(wake_from(4))
end
