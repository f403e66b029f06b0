-- Makes deliveries of our own due.

-- One that was settled and is due again lives anew.
local function forget_attempts(key)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.find(field, '^leased:') or string.find(field, '^replay:') then
      redis.call('HDEL', key, field)
    end
  end
end

-- If a worker has the delivery now, it may have looked at an older state of the order: so that worker loses its lease.
local function queue_delivery(id, type_, body, due, delivery_prefix, body_prefix, status_prefix)
  local now, key, waiting = text(clock()), delivery_prefix .. id, status_prefix .. 'waiting'
  local status = redis.call('HGET', key, 'status')
  redis.call('SET', body_prefix .. id, body)
  if status and status ~= 'waiting' then
    redis.call('ZREM', status_prefix .. status, id)
    forget_attempts(key)
  end
  if status ~= 'waiting' then
    redis.call('ZADD', waiting, now, id)
    redis.call('HSET', key, 'received_at', now)
  end
  redis.call('ZADD', due, now, id)
  write_with_reason(key, { 'type', type_, 'status', 'waiting', 'strikes', '0' }, '')
  redis.call('HDEL', key, 'settled_at', 'dismissed', 'erased_at')
  redis.call('PERSIST', key)
  redis.call('HSET', key, 'put_off', redis.call('HINCRBY', key, 'attempts', status and 1 or 0))
end
