-- needs: facts
-- Knows which deliveries claimed the facts, and asks the ledger once for each fact.

-- The names of fields, by meter. Looking a name up costs less than putting it together for each order.
local function names_after(prefix)
  return setmetatable({}, {
    __index = function(names, meter)
      names[meter] = prefix .. meter
      return names[meter]
    end,
  })
end

local GRANT = names_after('grant:')

local claimed_by = {} -- by subject: the delivery that claimed it, or false
local function claimer_of(subject)
  if claimed_by[subject] == nil then
    claimed_by[subject] = on_fact('HGET', subject, 'delivery')
  end
  return claimed_by[subject]
end

-- Returns which delivery claimed a grant, the grant as it was claimed, and whether refunds or lost disputes are noted.
local function claimed(subject, meter)
  local delivery, grant, refunded, disputed =
    unpack(on_fact('HMGET', subject, 'delivery', GRANT[meter], 'refunded_amount', 'disputed'))
  claimed_by[subject] = delivery
  return delivery, grant, refunded or disputed
end
