-- needs: drain_jobs, facts, own_deliveries
-- Makes those later instalments of orders due whose time has come: each becomes a delivery. It is one step, so that an
-- instalment is at any time either to come or a delivery. When its time has come depends on Polar's clock alone: if it
-- is too early nevertheless, the worker that asks Polar puts it back (see settle.lua).
-- Returns how many were looked at: if fewer than `most`, no other is to be made due now.
local instalments, polar_clock, due, due_instalments = unpack(KEYS)
local delivery_prefix, body_prefix, status_prefix, most = unpack(ARGV, 1, 4)
local first_drain_argument = 5

-- Returns the body of the delivery, or nil if the ledger does not know the order.
local function body_of(order_id, number, meter)
  local customer_id, subscription_id, product_id =
    unpack(on_fact('HMGET', 'credits:order:' .. order_id, 'customer', 'subscription', 'product'))
  if customer_id and subscription_id then
    return string.format(
      '{"type":"credits.instalment","data":{"order_id":%s,"number":%s,"meter":%s,"customer_id":%s,"subscription_id":%s,"product_id":%s}}',
      cjson.encode(order_id), number, cjson.encode(meter), cjson.encode(customer_id), cjson.encode(subscription_id),
      cjson.encode(product_id or cjson.null)
    )
  end
end

-- Polar dates its answers in whole seconds: a second later, its next answer shows that the time has come.
local DATE_MS = 1000

-- Where Polar's clock is not known, the clock of Redis may be ahead by any time, and all instalments would be looked up in
-- vain. So one is made due: its look-up tells what time it is.
local ahead = redis.call('GET', polar_clock)
local polar_now = clock() - DATE_MS - tonumber(ahead or 0)
local members = redis.call('ZRANGEBYSCORE', instalments, '-inf', text(polar_now), 'LIMIT', 0, ahead and most or 1)
for _, member in ipairs(members) do
  local order_id, number, meter = string.match(member, '^(%S+) (%d+) (.*)$')
  local body = order_id and body_of(order_id, number, meter)
  if body then
    local id = 'instalment-' .. order_id .. '-' .. number .. '-' .. escaped(meter)
    queue_delivery(id, 'credits.instalment', body, due, delivery_prefix, body_prefix, status_prefix)
    redis.call('SADD', due_instalments, id)
  end
end
call_with('ZREM', instalments, members)
if #members > 0 then
  ensure_drain(drain_job_from(first_drain_argument))
end
return #members
