-- Dismisses failed deliveries: they become skipped, and expire like other skipped ones. It is one step, so that a
-- delivery that is being replayed at this moment is left alone.
--
-- dismissals: {id, lists}; `lists` are the keys of the lists of its order and its customer.
local failed, skipped = unpack(KEYS)
local delivery_prefix, body_prefix, retention_s, reason_prefix = unpack(ARGV)
local dismissals = cjson.decode(ARGV[5])

local now = clock()

-- A list expires with the last of its deliveries: see settle.lua.
local function let_expire(list, id)
  redis.call('ZADD', list, 'XX', text(now + retention_s * 1000), id)
  local last = redis.call('ZRANGE', list, -1, -1, 'WITHSCORES')[2]
  if last and last ~= 'inf' then
    redis.call('EXPIRE', list, text(math.ceil((last - now) / 1000)))
  end
end

local function dismiss(id, lists)
  local key = delivery_prefix .. id
  local status, received_at, reason = unpack(redis.call('HMGET', key, 'status', 'received_at', 'reason'))
  if status ~= 'failed' then
    return -- it is dismissed already, or is being replayed at this moment
  end
  redis.call(
    'HSET', key,
    'status', 'skipped', 'reason', reason_prefix .. reason, 'dismissed', '1', 'settled_at', text(now)
  )
  redis.call('ZREM', failed, id)
  redis.call('ZADD', skipped, received_at, id)
  redis.call('EXPIRE', key, retention_s)
  redis.call('EXPIRE', body_prefix .. id, retention_s)
  for _, list in ipairs(lists) do
    let_expire(list, id)
  end
end

for _, dismissal in ipairs(dismissals) do
  dismiss(dismissal.id, dismissal.lists)
end
