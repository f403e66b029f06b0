-- needs: rate_limit
-- Takes one request from our share of Polar's rate limit. Returns 1 if it may be made, else 0.
local burst, interval_ms, reason = unpack(ARGV)

return take_request(KEYS, burst, interval_ms, reason)
