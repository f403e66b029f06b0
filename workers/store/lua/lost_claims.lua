-- needs: claimers, facts, later_claims
-- Finds outcomes whose claims are lost. A Redis that came back without its newest data may have kept a lease, and lost the
-- claim that came after it. Then nothing would know of the credit, and no refund could take it back.
--
-- outcome: id, subject, relies_on and more, as settle.lua takes them

-- Returns whether a delivery has made later claims that its outcome does not rely on.
local function has_other_claims(outcome)
  local seen = {}
  for _, subject in ipairs(outcome.relies_on) do
    seen[subject] = true
  end
  for _, subject in ipairs(later_claims_by(outcome.id, outcome.subject)) do
    if not seen[subject] then
      return true
    end
  end
  return false
end

-- Returns whether the ledger lacks what an outcome has noted of its order: what a webhook showed, a dispute or a refund.
local function is_note_lost(outcome)
  local more = outcome.more
  if more.is_shown and on_fact('HEXISTS', outcome.subject, 'shown') == 0 then
    return true
  end
  if more.dispute and on_fact('HEXISTS', outcome.subject, 'dispute:' .. more.dispute) == 0 then
    return true
  end
  local refunded_amount = more.refunded_amount
  return refunded_amount and refunded_amount > tonumber(on_fact('HGET', outcome.subject, 'refunded_amount') or -1)
end

local function is_claim_lost(outcome, type_)
  local is_known = false
  for _, subject in ipairs(outcome.relies_on) do
    if not claimer_of(subject) then
      return true
    end
    is_known = is_known or subject == outcome.subject
  end
  if IS_LATER[type_] and has_other_claims(outcome) then
    return true -- the other worker's, as below
  end
  -- If the lease was lost too, another worker has one with the same number, and has claimed what this one did not see.
  if outcome.subject ~= '' and not is_known and claimer_of(outcome.subject) == outcome.id then
    return true
  end
  return is_note_lost(outcome)
end

-- Returns whether nothing is missing but bonuses, and the claims of orders that have nothing else: a dismissal gives
-- them back to their customer (see dismiss.lua). That is no sign of a loss.
local function is_bonus_gone(outcome)
  if on_fact('HEXISTS', outcome.subject, 'dismissed') == 1 then
    return true
  end
  local is_bonus = false
  for _, subject in ipairs(outcome.relies_on) do
    if not claimer_of(subject) then
      is_bonus = string.match(subject, '^credits:customer:[^:]+:') ~= nil
      if not is_bonus then
        return false
      end
    end
  end
  return is_bonus
end
