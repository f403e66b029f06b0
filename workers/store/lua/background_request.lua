-- Returns in how many ms a request that is not urgent may be made. If it may be made now and `is_taken` is true, takes
-- it from our share of Polar's rate limit. Such requests use only half of the burst, so that webhooks always find the
-- other half. Like all requests, they wait during a pause. See take_request.lua for the algorithm.
local budget, pause, reduced = unpack(KEYS)
local full_burst, full_interval_ms, is_taken = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'

local pause_ms = redis.call('PTTL', pause)
if pause_ms > 0 then
  return pause_ms
end
local now = clock()
local burst, interval_ms = current_share(full_burst, full_interval_ms, reduced)
local background_burst = math.max(1, math.floor(burst / 2))
local whole_at = share_whole_at(budget, now, math.max(full_burst * full_interval_ms, burst * interval_ms))
local wait_ms = math.ceil(whole_at - now - (background_burst - 1) * interval_ms)
if wait_ms <= 0 and is_taken then
  local next_whole_at = whole_at + interval_ms
  redis.call('SET', budget, text(math.ceil(next_whole_at)), 'PX', text(math.ceil(next_whole_at - now)))
end
return math.max(0, wait_ms)
