-- Everybody waits. Workers that fail together count as one pause, and the longest holds.
-- KEYS: pause, outage, probe, thrift     ARGV: ms, reason, 1 if Polar says that we ask too often
redis.call('DEL', KEYS[3])
local standing = redis.call('PTTL', KEYS[1])
-- The first of an outage counts whatever stands: a pause for our share of the rate limit is no outage.
if standing < 0 or redis.call('HEXISTS', KEYS[2], 'pauses') == 0 then
  redis.call('HINCRBY', KEYS[2], 'pauses', 1)
  redis.call('HSETNX', KEYS[2], 'since', text(clock()))
  if ARGV[3] == '1' then
    local ms = HALVING_MS * math.min(halvings(KEYS[4]) + 1, MOST_HALVINGS)
    redis.call('SET', KEYS[4], 1, 'PX', ms)
  end
end
redis.call('HSET', KEYS[2], 'reason', ARGV[2])
redis.call('EXPIRE', KEYS[2], 86400)
if tonumber(ARGV[1]) > standing then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
end
