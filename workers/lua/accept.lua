-- Store a delivery and see that it will be drained.
-- KEYS: delivery, due, waiting     ARGV: id, type, body, wake...
local wake = wake_from(4)
if redis.call('EXISTS', KEYS[1]) == 1 then
  if redis.call('HGET', KEYS[1], 'status') == 'waiting' then
    redis.call('ZADD', KEYS[2], 'NX', text(clock()), ARGV[1])
    ensure_drain(wake)
  end
  return 'duplicate'
end
local now = text(clock())
redis.call('HSET', KEYS[1], 'type', ARGV[2], 'body', ARGV[3], 'status', 'waiting',
  'received_at', now, 'attempts', 0)
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
ensure_drain(wake)
return 'accepted'
