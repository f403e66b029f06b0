-- Notes what came since a receiver's last note: whether a webhook was valid, and how many that look like Polar's were
-- refused after that. The first valid one ends the count of refused ones.
local webhooks = KEYS[1]
local is_valid, refused, reason = ARGV[1] == '1', tonumber(ARGV[2]), ARGV[3]

local now = clock()
if is_valid then
  redis.call('DEL', webhooks)
  redis.call('HSET', webhooks, 'last_at', text(now))
end
if refused > 0 then
  redis.call('HSETNX', webhooks, 'refused_since', text(now))
  redis.call('HINCRBY', webhooks, 'refused', refused)
  redis.call('HSET', webhooks, 'reason', reason)
end
