-- Take deliveries by name, settled or not, as if they were due; the caller works on them itself.
-- KEYS: due     ARGV: delivery prefix, prefix of the sets by status, lease ms, id...
-- Returns {id, type, body, strikes, attempt}, ... of those that are known
local now = clock()
local taken = {}
for i = 4, #ARGV do
  local key = ARGV[1] .. ARGV[i]
  local found = redis.call('HMGET', key, 'type', 'body', 'status', 'received_at')
  if found[1] then
    redis.call('ZREM', ARGV[2] .. found[3], ARGV[i])
    redis.call('ZADD', ARGV[2] .. 'waiting', found[4], ARGV[i])
    redis.call('ZADD', KEYS[1], text(now + ARGV[3]), ARGV[i])
    redis.call('HSET', key, 'status', 'waiting', 'strikes', 0)
    redis.call('HDEL', key, 'settled_at', 'reason')
    redis.call('PERSIST', key)
    taken[#taken + 1] = { ARGV[i], found[1], found[2], '0', redis.call('HINCRBY', key, 'attempts', 1) }
  end
end
return taken
