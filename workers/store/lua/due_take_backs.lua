-- needs: facts, links, own_deliveries, unsettled
-- Makes it due to take back what an order's refunds and disputes take, as a delivery of its own: no take-back may reach
-- Polar before the grant that it takes from.

-- Returns whether refunds or lost disputes were noted with an order, so that something may be taken back of it.
local function is_reversed(order)
  local refunded, disputed = unpack(on_fact('HMGET', order, 'refunded_amount', 'disputed'))
  return refunded or disputed
end

-- Returns whether a take-back of an order waits to be sent: one that a person has replayed by name while it was held.
local function has_open_take_back(order)
  for _, subject in pairs(links_of(order)) do
    local kind = string.match(subject, '^credits:(%a+):')
    if kind == 'refund' or kind == 'dispute' or kind == 'revoke' then
      local fields = on_fact('HGETALL', subject)
      if is_unsettled(fields) and not value_of('dismissed', fields) then
        return true
      end
    end
  end
  return false
end

-- Returns whether something may have to be taken back after the adjustment of an order: a dispute, or a refund that was
-- noted while the adjustment was not settled, or a take-back that waited for it.
local function is_reversed_meanwhile(order_id)
  local order = 'credits:order:' .. order_id
  local refunded, disputed = unpack(on_fact('HMGET', order, 'refunded_amount', 'disputed'))
  return disputed or (refunded and on_fact('EXISTS', 'credits:refund:' .. order_id .. ':' .. refunded) == 0)
    or has_open_take_back(order)
end

-- Returns whether refunds or disputes may take something of an order, or a revoke by hand was held until now.
local function may_have_take_backs(order)
  return is_reversed(order) or string.find(on_fact('HGET', order, 'also') or '', 'revoke', 1, true)
end

-- Returns whether something of an order may have to be taken back when a grant of this kind is settled: a refund or a
-- dispute that came before its order was credited, or while an adjustment or an instalment was under way, counts then.
-- `is_order_reversed` says whether the order has one, if the grant is its own.
local function is_take_back_due(kind, order_id, is_order_reversed)
  return (kind == 'order' and is_order_reversed)
    or (kind == 'instalment' and may_have_take_backs('credits:order:' .. order_id))
    or (kind == 'adjust' and is_reversed_meanwhile(order_id))
end

local function queue_take_back(order_id, customer_id, due, delivery_prefix, body_prefix, status_prefix)
  local body = string.format(
    '{"type":"credits.take_back","data":{"order_id":%s,"customer_id":%s}}',
    cjson.encode(order_id), cjson.encode(customer_id)
  )
  queue_delivery(
    'take-back-' .. order_id, 'credits.take_back', body, due, delivery_prefix, body_prefix, status_prefix
  )
end

-- Makes the take-back of the order due to which a subject belongs, if anything may have to be taken back of it.
local function make_take_back_due(subject, due, delivery_prefix, body_prefix, status_prefix)
  local kind, id = string.match(subject, '^credits:(%a+):([^:]+)')
  local is_order = kind == 'order' or kind == 'instalment' or kind == 'refund' or kind == 'revoke' or kind == 'adjust'
  local order_id = is_order and id or on_fact('HGET', subject, 'order')
  local order = 'credits:order:' .. (order_id or '')
  local customer_id, also = unpack(on_fact('HMGET', order, 'customer', 'also'))
  if customer_id and (is_reversed(order) or string.find(also or '', 'revoke', 1, true)) then
    queue_take_back(order_id, customer_id, due, delivery_prefix, body_prefix, status_prefix)
  end
end
