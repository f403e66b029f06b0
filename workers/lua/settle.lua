-- Write down, together, what Polar took and what became of the deliveries.
-- KEYS: due, audit
-- ARGV: delivery prefix, prefix of the sets by status, prefix of the sets by order, retention s,
--       JSON [[subject, meter], ...],
--       JSON [{id, attempt, status, reason, subject, order_id, customer_id, after_ms, strike}, ...]
local now = clock()
for _, grant in ipairs(cjson.decode(ARGV[5])) do
  -- A claim that was lost with its Redis is not put together again from half of it.
  if redis.call('HEXISTS', grant[1], 'delivery') == 1
    and redis.call('HSETNX', grant[1], 'settled:' .. grant[2], text(now)) == 1 then
    redis.call('XADD', KEYS[2], '*', 'subject', grant[1], 'meter', grant[2])
  end
end

local function put_off(key, outcome)
  redis.call('ZADD', KEYS[1], text(now + outcome.after_ms), outcome.id)
  redis.call('HSET', key, 'reason', outcome.reason,
    'subject', outcome.subject, 'order_id', outcome.order_id, 'customer_id', outcome.customer_id)
  if outcome.strike then
    redis.call('HINCRBY', key, 'strikes', 1)
  end
end

local function keep(key, status)
  if status == 'failed' then
    redis.call('PERSIST', key)
  else
    redis.call('EXPIRE', key, ARGV[4])
  end
end

-- Among the deliveries about an order; for as long as the last of them is kept, for ever if one failed.
local function list(about, outcome)
  redis.call('SADD', about, outcome.id)
  if redis.call('SCARD', about) == 1 or redis.call('TTL', about) >= 0 or outcome.status == 'failed' then
    keep(about, outcome.status)
  end
end

local function conclude(key, outcome)
  redis.call('HSET', key, 'status', outcome.status, 'reason', outcome.reason, 'settled_at', text(now),
    'subject', outcome.subject, 'order_id', outcome.order_id, 'customer_id', outcome.customer_id)
  redis.call('ZREM', KEYS[1], outcome.id)
  redis.call('ZREM', ARGV[2] .. 'waiting', outcome.id)
  redis.call('ZADD', ARGV[2] .. outcome.status, redis.call('HGET', key, 'received_at'), outcome.id)
  keep(key, outcome.status)
  if outcome.order_id ~= '' then
    list(ARGV[3] .. outcome.order_id, outcome)
  end
end

for _, outcome in ipairs(cjson.decode(ARGV[6])) do
  local key = ARGV[1] .. outcome.id
  local held = redis.call('HMGET', key, 'status', 'attempts')
  -- A worker that slept past its lease has no say any more: another may know better, or be at it.
  if held[1] == 'waiting' and tonumber(held[2]) == outcome.attempt then
    if outcome.status == 'waiting' then
      put_off(key, outcome)
    else
      conclude(key, outcome)
    end
  end
end
