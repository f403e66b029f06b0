-- Store deliveries and take them at once: the caller works on them itself. One that is known gets this body,
-- and is run again.
-- KEYS: due     ARGV: delivery prefix, body prefix, prefix of the sets by status, lease ms, {id, type, body}...
-- Returns {id, type, body, strikes, attempt}, ...
local now = text(clock())
local taken = {}
for i = 5, #ARGV, 3 do
  local id, key = ARGV[i], ARGV[1] .. ARGV[i]
  if redis.call('HSETNX', key, 'received_at', now) == 1 then
    redis.call('HSET', key, 'status', 'waiting')
  end
  redis.call('HSET', key, 'type', ARGV[i + 1])
  redis.call('HDEL', key, 'erased_at')
  redis.call('SET', ARGV[2] .. id, ARGV[i + 2])
  taken[#taken + 1] = take_over(id)
end
return taken
