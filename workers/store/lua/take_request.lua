-- Takes one request from our share of Polar's rate limit, by the generic cell rate algorithm. No minute has more than
-- twice `burst` of them. It is one step, so that all workers together stay within the share. A pause may have begun
-- since the lease: then no request may be made. If the share is used up, every worker pauses until it has room again.
-- Returns 1 if the request may be made, else 0.
local budget, pause, reduced = unpack(KEYS)
local full_burst, full_interval_ms, reason = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

if redis.call('EXISTS', pause) == 1 then
  return 0
end
local now = clock()
local burst, interval_ms = current_share(full_burst, full_interval_ms, reduced)
local whole_at = share_whole_at(budget, now, math.max(full_burst * full_interval_ms, burst * interval_ms))
local wait_ms = whole_at - now - (burst - 1) * interval_ms
if wait_ms > 0 then
  redis.call('SET', pause, reason, 'PX', text(math.ceil(wait_ms)))
  return 0
end
local next_whole_at = whole_at + interval_ms
redis.call('SET', budget, text(math.ceil(next_whole_at)), 'PX', text(math.ceil(next_whole_at - now)))
return 1
