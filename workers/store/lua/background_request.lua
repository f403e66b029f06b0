-- needs: rate_limit
-- Returns in how many ms a request that is not urgent may be made. If it may be made now and `is_taken` is true, takes
-- it from our share of Polar's rate limit. Such requests use only half of the burst, so that webhooks always find the
-- other half. Like all requests, they wait during a pause. See take_request.lua for the algorithm.
local budget, pause, reduced = unpack(KEYS)
local full_burst, full_interval_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local is_taken, is_awaited = ARGV[3] == '1', ARGV[4] == '1'

local pause_ms = redis.call('PTTL', pause)
if pause_ms > 0 then
  return pause_ms
end
local now = clock()

local function room()
  local burst, interval_ms = current_share(full_burst, full_interval_ms, reduced)
  local background_burst = math.max(1, math.floor(burst / 2))
  local whole_at = share_whole_at(budget, now, math.max(full_burst * full_interval_ms, burst * interval_ms))
  return whole_at, interval_ms, math.ceil(whole_at - now - (background_burst - 1) * interval_ms)
end

local whole_at, interval_ms, wait_ms = room()
if wait_ms > 0 and is_awaited and end_one_halving(reduced, now) then
  whole_at, interval_ms, wait_ms = room()
end
if wait_ms <= 0 and is_taken then
  local next_whole_at = whole_at + interval_ms
  redis.call('SET', budget, text(math.ceil(next_whole_at)), 'PX', text(math.ceil(next_whole_at - now)))
end
return math.max(0, wait_ms)
