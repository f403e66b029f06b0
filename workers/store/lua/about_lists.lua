-- Keeps the lists of the deliveries about an order or a customer, scored by when they expire. A list expires with the last
-- of them.

-- Returns when the last of them expires: nil if there is none.
local function expire_with_last(list, now)
  local last = redis.call('ZRANGE', list, -1, -1, 'WITHSCORES')[2]
  if last and last ~= 'inf' then
    redis.call('EXPIRE', list, text(math.ceil((last - now) / 1000)))
  end
  return last
end

-- Puts a delivery into a list, or takes it out; `expires_at` is '+inf' for one that does not expire.
local function update_list(list, id, is_listed, expires_at, now)
  if is_listed then
    redis.call('ZADD', list, expires_at, id)
  elseif redis.call('ZREM', list, id) == 0 then
    return
  end
  redis.call('ZREMRANGEBYSCORE', list, '-inf', text(now))
  if expire_with_last(list, now) == 'inf' then
    redis.call('PERSIST', list)
  end
end
