-- Put failed deliveries to rest: they end as skipped, and are kept no longer than those.
-- KEYS: failed, skipped
-- ARGV: delivery prefix, body prefix, retention s, what a reason begins with then,
--       JSON [[id, [the lists of what it tells of, ...]], ...]
local now = clock()

-- These lists expire like the last of what is in them: see settle.lua.
local function let_expire(about, id)
  redis.call('ZADD', about, 'XX', text(now + ARGV[3] * 1000), id)
  local last = redis.call('ZRANGE', about, -1, -1, 'WITHSCORES')[2]
  if last and last ~= 'inf' then
    redis.call('EXPIRE', about, text(math.ceil((last - now) / 1000)))
  end
end

local function dismiss(id, lists)
  local key = ARGV[1] .. id
  local found = redis.call('HMGET', key, 'status', 'received_at', 'reason')
  if found[1] ~= 'failed' then
    return -- dismissed already, or another replays it at this moment
  end
  redis.call('HSET', key, 'status', 'skipped', 'reason', ARGV[4] .. found[3], 'dismissed', '1', 'settled_at', text(now))
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZADD', KEYS[2], found[2], id)
  redis.call('EXPIRE', key, ARGV[3])
  redis.call('EXPIRE', ARGV[2] .. id, ARGV[3])
  for _, about in ipairs(lists) do
    let_expire(about, id)
  end
end

for _, row in ipairs(cjson.decode(ARGV[5])) do
  dismiss(row[1], row[2])
end
