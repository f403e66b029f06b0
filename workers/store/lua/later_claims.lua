-- needs: facts, links
-- Finds the claims that a delivery has made of an order whose own credits it did not make.

-- The types of such deliveries. To dismiss one says nothing about the order's own credits.
local IS_LATER = {
  ['order.refunded'] = true,
  ['credits.dispute'] = true,
  ['credits.take_back'] = true,
  ['manual.revoke'] = true,
  ['manual.adjust'] = true,
  ['credits.instalment'] = true,
}

-- Returns the later claims of an order that a delivery has made. Take-backs and adjustments are linked to the order. The
-- delivery of an instalment names its claim: no list of an order's instalments is kept.
local function later_claims_by(id, order)
  local found = {}
  local order_id = string.sub(order, #'credits:order:' + 1)
  local prefix = 'instalment-' .. order_id .. '-'
  if string.sub(id, 1, #prefix) == prefix then
    local number, meter = string.match(string.sub(id, #prefix + 1), '^(%d+)%-(.*)$')
    local subject = 'credits:instalment:' .. order_id .. ':' .. number .. ':' .. unescaped(meter)
    return on_fact('EXISTS', subject) == 1 and { subject } or {}
  end
  for _, subject in pairs(links_of(order)) do
    if on_fact('HGET', subject, 'delivery') == id then
      found[#found + 1] = subject
    end
  end
  table.sort(found)
  return found
end

-- Returns the take-backs that a delivery of the order itself has made, because it told of refunds as well, or has adopted
-- (see settle.lua).
local function take_backs_by(id, order)
  local found = {}
  for _, subject in ipairs(later_claims_by(id, order)) do
    local kind = string.match(subject, '^credits:(%a+):')
    if kind == 'refund' or kind == 'dispute' or kind == 'revoke' then
      found[#found + 1] = subject
    end
  end
  return found
end
