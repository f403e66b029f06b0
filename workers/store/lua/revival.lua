-- needs: decimals, facts, later_claims, links
-- Revives the claims that a dismissal has put to rest: see dismiss.lua.

-- Releases the claim of an instalment that was dismissed and that Polar lacks, so that it is decided anew. Refunds have
-- taken their shares without it, so it may have to give less by now. Returns whether it did.
local function release_instalment(order, subject)
  local number, meter = string.match(subject, '^credits:instalment:[^:]+:(%d+):(.*)$')
  local dismissed, settled = unpack(on_fact('HMGET', subject, 'dismissed', 'settled:' .. (meter or '')))
  if not number or not dismissed or settled or on_fact('HGET', order, 'begun:' .. meter) ~= number then
    return false
  end
  on_fact('DEL', subject)
  if number == '2' then
    on_fact('HDEL', order, 'begun:' .. meter)
  else
    on_fact('HSET', order, 'begun:' .. meter, number - 1)
  end
  return true
end

-- Returns what was taken back of an order on a meter, as `taken:<meter>` says it, without what a grant takes: `a=9 b=1`
-- without `a=-9` is `b=1`. Returns nil if it does not contain all of that.
local function without_grant(taken, grant)
  local left, kept = {}, {}
  for rule, units in string.gmatch(grant, '(%S-)=([^%s:]+)') do
    left[rule] = units
  end
  for rule, units in string.gmatch(taken, '(%S-)=(%S+)') do
    local sum = left[rule] and sum_of(units, left[rule])
    if left[rule] and not sum then
      return nil
    end
    if sum ~= '0' then
      kept[#kept + 1] = rule .. '=' .. (sum or units)
    end
    left[rule] = nil
  end
  return next(left) == nil and table.concat(kept, ' ') or nil
end

-- Releases the claim of a revoke by hand that was dismissed and that Polar lacks, so that it is decided anew: the order
-- may have been given more meanwhile. What it took no longer counts as taken. Returns whether it did: not where another
-- delivery than the person's request has adopted it, which would decide nothing.
local function release_revoke(order, subject, type_)
  local meter = type_ == 'manual.revoke' and string.match(subject, '^credits:revoke:[^:]+:(.*)$')
  local dismissed, settled, grant =
    unpack(on_fact('HMGET', subject, 'dismissed', 'settled:' .. (meter or ''), 'grant:' .. (meter or '')))
  local field = 'taken:' .. (meter or '')
  local taken = meter and on_fact('HGET', order, field)
  local left = dismissed and not settled and grant and taken and without_grant(taken, grant)
  if not left then
    return false
  end
  if left == '' then
    on_fact('HDEL', order, field)
  else
    on_fact('HSET', order, field, left)
  end
  remove_link(order, subject)
  on_fact('DEL', subject)
  return true
end

-- Undoes what the dismissal of a delivery did to the claims of its fact.
local function revive(id, type_, fact)
  if not IS_LATER[type_] then
    on_fact('HDEL', fact, 'dismissed')
    for _, subject in ipairs(take_backs_by(id, fact)) do
      on_fact('HDEL', subject, 'dismissed')
    end
    return
  end
  for _, subject in ipairs(later_claims_by(id, fact)) do
    if not release_instalment(fact, subject) and not release_revoke(fact, subject, type_) then
      on_fact('HDEL', subject, 'dismissed')
    end
  end
end
