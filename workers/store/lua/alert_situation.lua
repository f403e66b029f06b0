-- How things stand, for who tells people of it. Counts what is parked, for some of it may be gone by then.
-- KEYS: told, watch, failed, waiting, outage, audit, hush...     ARGV: s after which nobody has looked
-- Returns JSON; what there is none of is left out
local now = text(clock())

local function count_failed()
  local failed = redis.call('ZCARD', KEYS[3])
  local before = tonumber(redis.call('HGET', KEYS[1], 'failed') or 0)
  if failed > before then
    redis.call('HINCRBY', KEYS[1], 'parked', failed - before)
  end
  if failed ~= before then
    redis.call('HSET', KEYS[1], 'failed', failed)
  end
  return failed
end

-- Since when there has always been a worker that looked, and Polar was as it is now.
local function same_since(away)
  local polar = away and 'away' or 'there'
  if redis.call('HGET', KEYS[2], 'polar') ~= polar then
    redis.call('HSET', KEYS[2], 'polar', polar, 'since', now)
  end
  redis.call('EXPIRE', KEYS[2], ARGV[1])
  return redis.call('HGET', KEYS[2], 'since')
end

local failed = count_failed()
local told = redis.call('HMGET', KEYS[1], 'parked', 'known', 'stuck', 'polar')
local outage = redis.call('HMGET', KEYS[5], 'since', 'reason')
local oldest = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
local credit = redis.call('XREVRANGE', KEYS[6], '+', '-', 'COUNT', 1)
local hushed = {}
for i = 7, #KEYS do
  hushed[i - 6] = redis.call('EXISTS', KEYS[i])
end
return cjson.encode({
  now = now,
  same_since = same_since(outage[1]),
  failed = failed,
  parked = tonumber(told[1] or 0),
  known = tonumber(told[2] or 0),
  told = { told[3] and 1 or 0, told[4] and 1 or 0 },
  hushed = hushed,
  waiting = redis.call('ZCARD', KEYS[4]),
  oldest_waiting = oldest[2],
  last_credit = credit[1] and string.match(credit[1][1], '%d+'),
  away_since = outage[1] or nil,
  away_reason = outage[2] or nil,
})
