-- In how many ms may a request be made that can wait? Only half of the burst is for those: what is live
-- finds the other half. And during a pause they wait as everybody does.
-- KEYS: budget, pause, thrift     ARGV: burst, interval ms, 1 to take it if it may be made now
local pause = redis.call('PTTL', KEYS[2])
if pause > 0 then
  return pause
end
local now = clock()
local burst, interval = share_now(tonumber(ARGV[1]), tonumber(ARGV[2]), KEYS[3])
local most = math.max(1, math.floor(burst / 2))
local tat = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local early = math.ceil(tat - now - (most - 1) * interval)
if early <= 0 and ARGV[3] == '1' then
  redis.call('SET', KEYS[1], text(math.ceil(tat + interval)), 'PX', text(math.ceil(tat + interval - now)))
end
return math.max(0, early)
