-- Everybody waits for Polar. Atomic, so that workers that fail together count as one pause and the longest holds.
local pause, outage, probe, thrift = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ms, reason, cause, is_outage = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4] == '1'

local now, left = clock(), redis.call('PTTL', pause)
if is_outage then
  redis.call('DEL', probe)
  -- The first pause of an outage counts whatever stands: a pause for our share of the rate limit is no outage.
  if left < 0 or redis.call('HEXISTS', outage, 'pauses') == 0 then
    redis.call('HINCRBY', outage, 'pauses', 1)
    redis.call('HSETNX', outage, 'since', text(now))
  end
  redis.call('HSET', outage, 'reason', reason, 'cause', cause)
  redis.call('EXPIRE', outage, 86400)
end
-- A 429 halves our share, from the end of its own pause on. Requests that were under way meet the same 429:
-- until that end, which `thrift` holds, none counts again.
if cause == 'rate_limited' and now >= tonumber(redis.call('GET', thrift) or 0) then
  local halved_ms = HALVING_MS * math.min(halvings(thrift) + 1, MOST_HALVINGS)
  redis.call('SET', thrift, text(now + ms), 'PX', text(halved_ms + ms))
end
if ms > left then
  redis.call('SET', pause, reason, 'PX', text(ms))
end
