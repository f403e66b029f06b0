-- Write down, together, what Polar took and what became of the deliveries.
-- KEYS: due, audit, pause, outage, probe
-- ARGV: delivery prefix, body prefix, prefix of the sets by status, prefix of the sets by what they tell of,
--       retention s, JSON [[subject, meter], ...],
--       JSON [{id, attempt, status, reason, subject, order_id, customer_id, after_ms, strike}, ...]
-- Returns the deliveries that somebody else has by now: nothing was written of these.
local now = clock()
local accepted = cjson.decode(ARGV[6])
for _, grant in ipairs(accepted) do
  -- A claim that was lost with its Redis is not put together again from half of it.
  if redis.call('HEXISTS', grant[1], 'delivery') == 1
    and redis.call('HSETNX', grant[1], 'settled:' .. grant[2], text(now)) == 1 then
    redis.call('XADD', KEYS[2], '*', 'subject', grant[1], 'meter', grant[2])
  end
end

-- The order is not written down: its id is in the subject.
local function tell(key, outcome)
  write_reason(key, outcome.reason)
  redis.call('HSET', key, 'subject', outcome.subject, 'customer_id', outcome.customer_id)
end

local function put_off(key, outcome)
  redis.call('ZADD', KEYS[1], text(now + outcome.after_ms), outcome.id)
  tell(key, outcome)
  if outcome.strike then
    redis.call('HINCRBY', key, 'strikes', 1)
  end
end

local function keep(key, status)
  if status == 'failed' then
    redis.call('PERSIST', key)
  else
    redis.call('EXPIRE', key, ARGV[5])
  end
end

-- Deliveries about an order or a customer, scored by when they expire, as does the last of them.
local function list(about, outcome, is_named)
  if not is_named then
    redis.call('ZADD', about, outcome.status == 'failed' and '+inf' or text(now + ARGV[5] * 1000), outcome.id)
  elseif redis.call('ZREM', about, outcome.id) == 0 then
    return
  end
  redis.call('ZREMRANGEBYSCORE', about, '-inf', text(now))
  local last = redis.call('ZRANGE', about, -1, -1, 'WITHSCORES')[2]
  if last == 'inf' then
    redis.call('PERSIST', about)
  elseif last then
    redis.call('EXPIRE', about, text(math.ceil((last - now) / 1000)))
  end
end

local function conclude(key, outcome)
  redis.call('HSET', key, 'status', outcome.status, 'settled_at', text(now))
  tell(key, outcome)
  redis.call('ZREM', KEYS[1], outcome.id)
  redis.call('ZREM', ARGV[3] .. 'waiting', outcome.id)
  redis.call('ZADD', ARGV[3] .. outcome.status, redis.call('HGET', key, 'received_at'), outcome.id)
  keep(key, outcome.status)
  keep(ARGV[2] .. outcome.id, outcome.status)
  -- Who claimed the fact is named by the ledger; most deliveries are, and need no other list.
  local is_named = outcome.subject ~= '' and redis.call('HGET', outcome.subject, 'delivery') == outcome.id
  for _, id in ipairs({ outcome.order_id, outcome.customer_id }) do
    if id ~= '' then
      list(ARGV[4] .. id, outcome, is_named)
    end
  end
end

local lost = {}
for _, outcome in ipairs(cjson.decode(ARGV[7])) do
  local key = ARGV[1] .. outcome.id
  local held = redis.call('HMGET', key, 'status', 'attempts')
  -- A worker that slept past its lease has no say any more: another may know better, or be at it.
  if held[1] ~= 'waiting' or tonumber(held[2]) ~= outcome.attempt then
    lost[#lost + 1] = outcome.id
  elseif outcome.status == 'waiting' then
    put_off(key, outcome)
  else
    conclude(key, outcome)
  end
end
-- What Polar takes is the end of an outage, whoever sent it; unless somebody has met the next one meanwhile.
if #accepted > 0 and redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('DEL', KEYS[4], KEYS[5])
end
return lost
