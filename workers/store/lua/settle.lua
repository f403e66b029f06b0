-- Write down, together, what Polar took and what became of the deliveries.
-- KEYS: due, audit, pause, outage, probe, counts
-- ARGV: delivery prefix, body prefix, prefix of the sets by status, prefix of the sets by what they tell of,
--       retention s, JSON [[subject, meter, units], ...],
--       JSON [[id, attempt, status, reason, subject, order id, customer id, after ms, strike], ...],
--       JSON [bound of a bucket in s, ...], JSON {what the caller has counted: how often, ...}
-- Returns the deliveries that somebody else has by now: nothing was written of these.
local now = clock()
local accepted = cjson.decode(ARGV[6])
local makers, credited = {}, {}

local function maker_of(subject)
  makers[subject] = makers[subject] or redis.call('HGET', subject, 'delivery')
  return makers[subject]
end

local function count_grant(meter, units)
  count('grants ' .. meter)
  count((units > 0 and 'granted_units ' or 'taken_back_units ') .. meter, math.abs(units))
end

for _, grant in ipairs(accepted) do
  local subject, meter, units = unpack(grant)
  -- A claim that was lost with its Redis is not put together again from half of it.
  local delivery = maker_of(subject)
  if delivery and redis.call('HSETNX', subject, 'settled:' .. meter, text(now)) == 1 then
    redis.call('XADD', KEYS[2], '*', 'subject', subject, 'meter', meter)
    count_grant(meter, units)
    credited[delivery] = units > 0 or credited[delivery]
  end
end

-- The order is not written down: its id is in the subject.
local function tell(key, outcome, fields)
  append(fields, 'subject', outcome.subject)
  append(fields, 'customer_id', outcome.customer_id)
  if outcome.attempt == 1 then -- of which nothing was ever told before
    append_reason(fields, outcome.reason)
    write(key, fields)
  else
    write_with_reason(key, fields, outcome.reason)
  end
end

local bounds, bounds_ms = cjson.decode(ARGV[8]), {}
for i, bound in ipairs(bounds) do
  bounds_ms[i] = i < #bounds and bound * 1000 or math.huge -- the last one has room for all
end

local function count_wait(ms)
  count('delivery_to_credit_seconds_sum', ms / 1000)
  for i, most in ipairs(bounds_ms) do
    if ms <= most then
      return count('delivery_to_credit_seconds ' .. bounds[i])
    end
  end
end

local function put_off(key, outcome)
  count('retries')
  redis.call('ZADD', KEYS[1], text(now + outcome.after_ms), outcome.id)
  tell(key, outcome, {})
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

-- Each command goes to the append-only file on its own: what one can do for all is left to the end.
local concluded, by_status = {}, {}

local function move(outcome, received_at)
  concluded[#concluded + 1] = outcome.id
  by_status[outcome.status] = by_status[outcome.status] or {}
  append(by_status[outcome.status], received_at, outcome.id)
end

local function conclude(key, outcome, received_at)
  count('outcomes ' .. outcome.status)
  if credited[outcome.id] then
    count_wait(now - received_at)
    credited[outcome.id] = nil
  end
  tell(key, outcome, { 'status', outcome.status, 'settled_at', text(now) })
  move(outcome, received_at)
  keep(key, outcome.status)
  keep(ARGV[2] .. outcome.id, outcome.status)
  -- Who claimed the fact is named by the ledger; most deliveries are, and need no other list.
  local is_named = outcome.subject ~= '' and maker_of(outcome.subject) == outcome.id
  if is_named and outcome.attempt == 1 then
    return -- it never was in one
  end
  for _, id in ipairs({ outcome.order_id, outcome.customer_id }) do
    if id ~= '' then
      list(ARGV[4] .. id, outcome, is_named)
    end
  end
end

local lost = {}
for _, row in ipairs(cjson.decode(ARGV[7])) do
  local outcome = {
    id = row[1], attempt = row[2], status = row[3], reason = row[4], subject = row[5],
    order_id = row[6], customer_id = row[7], after_ms = row[8], strike = row[9],
  }
  local key = ARGV[1] .. outcome.id
  local status, attempts, received_at = unpack(redis.call('HMGET', key, 'status', 'attempts', 'received_at'))
  -- A worker that slept past its lease has no say any more: another may know better, or be at it.
  if status ~= 'waiting' or tonumber(attempts) ~= outcome.attempt then
    lost[#lost + 1] = outcome.id
  elseif outcome.status == 'waiting' then
    put_off(key, outcome)
  else
    conclude(key, outcome, received_at)
  end
end
-- Of whose work another took over, the wait is over as well.
for id in pairs(credited) do
  local received_at = redis.call('HGET', ARGV[1] .. id, 'received_at')
  if received_at then
    count_wait(now - received_at)
  end
end
call_with('ZREM', KEYS[1], concluded)
call_with('ZREM', ARGV[3] .. 'waiting', concluded)
for status, moved in pairs(by_status) do
  call_with('ZADD', ARGV[3] .. status, moved)
end
-- What Polar takes is the end of an outage, whoever sent it; unless somebody has met the next one meanwhile.
if #accepted > 0 and redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('DEL', KEYS[4], KEYS[5])
end
for field, by in pairs(cjson.decode(ARGV[9])) do
  count(field, by)
end
write_counts(KEYS[6])
return lost
