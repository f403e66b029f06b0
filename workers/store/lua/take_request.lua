-- May one request be made to Polar? In no window of a minute more than twice `burst` are; none during a pause,
-- which may have begun since the lease.
-- The generic cell rate algorithm: `tat` is when the bucket would be empty again.
-- KEYS: budget, pause, thrift     ARGV: burst, interval ms, reason
-- Returns 1 if it may be made; else everybody waits until it may
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local now = clock()
local burst, interval = share_now(tonumber(ARGV[1]), tonumber(ARGV[2]), KEYS[3])
local tat = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local early = tat - now - (burst - 1) * interval
if early > 0 then
  redis.call('SET', KEYS[2], ARGV[3], 'PX', text(math.ceil(early)))
  return 0
end
redis.call('SET', KEYS[1], text(math.ceil(tat + interval)), 'PX', text(math.ceil(tat + interval - now)))
return 1
