-- needs: rate_limit
-- Makes every worker wait before the next request to Polar. It is one step, so that workers that fail together count
-- as one pause, and that the longest of their pauses applies.
local pause, outage, probe, reduced, clock_state = unpack(KEYS)
local ms, reason, cause, is_outage = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4] == '1'

local now, left = clock(), redis.call('PTTL', pause)
if is_outage then
  redis.call('DEL', probe)
  -- Of overlapping pauses only the first counts. But the first pause of an outage always counts: if it overlaps a
  -- pause for our share of the rate limit, that one belongs to no outage.
  if left < 0 or redis.call('HEXISTS', outage, 'pauses') == 0 then
    redis.call('HINCRBY', outage, 'pauses', 1)
    redis.call('HSETNX', outage, 'since', text(now))
  end
  redis.call('HSET', outage, 'reason', reason, 'cause', cause)
  redis.call('EXPIRE', outage, 86400)
end
-- A 429 halves our share from the end of its own pause on. Requests that were under way get a 429 too. So no other 429
-- counts until that pause is over. `reduced` holds the time when it ends.
if cause == 'rate_limited' and now >= tonumber(redis.call('GET', reduced) or 0) then
  local halved_ms = HALVING_MS * math.min(halvings(reduced) + 1, MOST_HALVINGS)
  redis.call('SET', reduced, text(now + ms), 'PX', text(halved_ms + ms))
end
if ms > left then
  redis.call('SET', pause, reason, 'PX', text(ms))
  redis.call('HSET', clock_state, 'pause_ms', text(ms)) -- the next tick sees if it lasts longer: see tick.lua
end
