-- What scripts share about our share of Polar's rate limit.

-- Each 429 halves our share of Polar's rate limit for five more minutes, down to an eighth. Others, such as the
-- storefront, spend the same limit, and evidently need more of it than we left them. The key `reduced` expires when
-- the share is whole again. The time that the key has left tells how many times the share is halved now.
local HALVING_MS = 300000
local MOST_HALVINGS = 3

local function halvings(reduced)
  return math.min(MOST_HALVINGS, math.ceil(math.max(0, redis.call('PTTL', reduced)) / HALVING_MS))
end

-- Takes one halving back early, because a person is held up by it. That is safe after a whole minute without a 429, the
-- window of Polar's rate limit: what others need fits beside our reduced share. The next one takes another minute. If it
-- was too early after all, the next 429 halves the share again. Returns whether it did.
local POLAR_WINDOW_MS = 60000

local function end_one_halving(reduced, now)
  local left = redis.call('PTTL', reduced)
  if left <= 0 or now < tonumber(redis.call('GET', reduced)) + POLAR_WINDOW_MS then
    return false
  end
  if left > HALVING_MS then
    redis.call('SET', reduced, text(now), 'PX', text(left - HALVING_MS))
  else
    redis.call('DEL', reduced)
  end
  return true
end

-- Returns the burst and the interval in ms that apply now.
local function current_share(burst, interval_ms, reduced)
  local divisor = 2 ^ halvings(reduced)
  return math.max(1, math.floor(burst / divisor)), interval_ms * divisor
end

-- Returns when our whole share is there again (the algorithm's theoretical arrival time), which `budget` holds. If the
-- clock of Redis was set back, it lies further ahead than it ever can: then the share counts as just used up.
local function share_whole_at(budget, now, longest_ms)
  local whole_at = math.max(now, tonumber(redis.call('GET', budget) or 0))
  if whole_at > now + longest_ms then
    whole_at = now + longest_ms
    redis.call('SET', budget, text(math.ceil(whole_at)), 'PX', text(math.ceil(longest_ms)))
  end
  return whole_at
end

-- Takes one request from our share, by the generic cell rate algorithm. No minute has more than twice `burst` of them. It
-- is one step, so that all workers together stay within the share. A pause may have begun since the lease: then no request
-- may be made. If the share is used up, every worker pauses until it has room again, for the given reason.
-- Returns 1 if the request may be made, else 0. Its keys are `budget`, `pause` and `reduced`.
local function take_request(share_keys, full_burst, full_interval_ms, reason)
  local budget, pause, reduced = unpack(share_keys)
  full_burst, full_interval_ms = tonumber(full_burst), tonumber(full_interval_ms)
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
end
