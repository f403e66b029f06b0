-- Everybody waits. Workers that fail together count as one pause, and the longest holds.
-- KEYS: pause, outage, probe, thrift
-- ARGV: ms, reason, 1 if Polar says that we ask too often, 1 if it took no event of ours (else who only reads asked)
local now, standing = clock(), redis.call('PTTL', KEYS[1])
if ARGV[4] == '1' then
  redis.call('DEL', KEYS[3])
  -- The first of an outage counts whatever stands: a pause for our share of the rate limit is no outage.
  if standing < 0 or redis.call('HEXISTS', KEYS[2], 'pauses') == 0 then
    redis.call('HINCRBY', KEYS[2], 'pauses', 1)
    redis.call('HSETNX', KEYS[2], 'since', text(now))
  end
  redis.call('HSET', KEYS[2], 'reason', ARGV[2])
  redis.call('EXPIRE', KEYS[2], 86400)
end
-- Whatever stands, a 429 halves our share, from the end of the pause on that it asks for. Others that were on
-- their way then met the same: until that end, which is what is kept, none counts again.
if ARGV[3] == '1' and now >= tonumber(redis.call('GET', KEYS[4]) or 0) then
  local ms = HALVING_MS * math.min(halvings(KEYS[4]) + 1, MOST_HALVINGS)
  redis.call('SET', KEYS[4], text(now + ARGV[1]), 'PX', text(ms + ARGV[1]))
end
if tonumber(ARGV[1]) > standing then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
end
