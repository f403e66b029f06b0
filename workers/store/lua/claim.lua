-- Freezes each plan whose fact is not frozen yet, and returns what the ledger has for each fact. It is one step, so
-- that of two workers with different rules only one freezes a plan. A plan without `base` only reads.
--
-- plans: {subject, refund = {amount, share}, dispute = {id, share}, shown, lease = {delivery, attempt}, base = fields,
--        cap = {key, offer, most}, claims = {{subject, fields}}, period = fields, chain = {key, at, order, meters},
--        instalments = {subject}}; refund, dispute, shown, lease, cap, period, chain, instalments and base may be
--        missing. `shown` is what the webhook shows the order to be; `base` holds the fields of a fact that gets only
--        linked claims; `period` holds the fields of an order with instalments, `chain` where to note that it begins
--        them; `cap` says which of the customer's places of an offer the claim takes; `instalments` lists the only later
--        instalments of an order that are wanted, because it may have hundreds.
-- Returns for each plan {the fact's hash, {subject, its hash, 1 if it is a linked claim, else 0}, ...}; the hash has a
-- field `capped` if the customer has no place left, and the fields `superseded:<meter>` (an order's id) and
-- `superseded_at:<meter>` (when it was created) where a later order of the same subscription has begun instalments there. Where the whole
-- plan was frozen just now, and the ledger had nothing for the fact before, it returns only the time (ms).
local customers = KEYS[1]
local delivery_prefix, plans, chain_prefix = ARGV[1], cjson.decode(ARGV[2]), ARGV[3]

local now = text(clock())

local function is_frozen(subject)
  return on_fact('HEXISTS', subject, 'delivery') == 1
end

-- The highest refund is kept with the order, whether the order is credited yet or not.
local function note_refund(order, refund)
  local known = on_fact('HGET', order, 'refunded_amount')
  local is_new = not known or tonumber(refund.amount) > tonumber(known)
  if is_new or (refund.amount == known and refund.share == '1/1') then
    on_fact('HSET', order, 'refunded_amount', refund.amount, 'refunded_share', refund.share)
  end
end

-- Each lost dispute is kept with the order, too. `disputed` says that there is one (see is_reversed).
local function note_dispute(order, dispute)
  on_fact('HSET', order, 'dispute:' .. dispute.id, dispute.share, 'disputed', '1')
end

-- An order that a webhook has shown to be a final invoice or a trial's start stays one: a later webhook, or the orders
-- API, may show its subscription with other dates. A plan that takes it for something else freezes nothing.
local function note_shown(plan)
  if plan.shown and on_fact('HSETNX', plan.subject, 'shown', plan.shown) == 1 then
    on_fact('PERSIST', plan.subject)
  end
end

-- A fact whose claim a dismissal has released is in its customer's chain already.
local function freeze(plan, is_chained, has_notes)
  local own, linked = nil, {}
  for _, claim in ipairs(plan.claims) do
    if claim.subject == plan.subject then
      own = claim.fields
    elseif not is_frozen(claim.subject) then
      append(claim.fields, 'claimed_at', now)
      write_fact(claim.subject, claim.fields)
      linked[#linked + 1] = link_to(claim.subject)
    end
  end
  if not own and #linked == 0 then
    return
  end
  local fields = own or plan.base
  if own and plan.period then
    for _, each in ipairs(plan.period) do
      fields[#fields + 1] = each
    end
    begin_chain(plan.chain)
  end
  append(fields, 'claimed_at', now)
  if not is_chained then
    local customer = value_of('customer', fields)
    local before = newest_fact(customers, customer)
    if before then
      append(fields, 'before', before)
    end
    set_newest_fact(customers, customer, plan.subject)
  end
  if #linked > 0 then
    append(fields, 'also', table.concat(linked, ' '))
  end
  write_fact(plan.subject, fields) -- one command: each command is one entry of the append-only file
  if has_notes then
    on_fact('PERSIST', plan.subject)
  end
end

-- Takes one of the places that a customer has of an offer; returns whether there was one. The places that were taken are
-- counted, and a claim that holds one has the field `place`.
local function take_place(plan)
  local cap = plan.cap
  local taken = tonumber(redis.call('HGET', cap.key, cap.offer) or 0)
  if type(cap.most) == 'number' and taken >= cap.most then
    return false
  end
  redis.call('HINCRBY', cap.key, cap.offer, 1)
  on_fact('HSET', plan.subject, 'place', '1')
  return true
end

-- Returns whether a claim has returned its place, because Polar refused its grants, and would send them again now.
local function lacks_place(own)
  if value_of('place', own) or value_of('dismissed', own) then
    return false
  end
  for i = 1, #own, 2 do
    local meter = string.match(own[i], '^grant:(.*)$')
    if meter and not value_of('settled:' .. meter, own) then
      return true
    end
  end
  return false
end

local function standing(plan, own)
  local found, seen = { own }, { [plan.subject] = true }
  local function add(subject, is_linked)
    if not seen[subject] then
      seen[subject] = true
      found[#found + 1] = { subject, on_fact('HGETALL', subject), is_linked }
    end
  end
  for link in string.gmatch(value_of('also', own) or '', '%S+') do
    add(linked_by(link, plan.subject), 1)
  end
  add_instalments(plan.subject, own, chain_prefix, add, plan.instalments)
  for _, claim in ipairs(plan.claims) do
    add(claim.subject, 0)
  end
  return found
end

-- Returns whether a lease is still valid, and whether a person has replayed its delivery by name before anybody had read
-- it. The name works once: it must not undo a dismissal that comes later.
local function look_at(lease)
  if not lease then
    return true, false
  end
  local key = delivery_prefix .. lease.delivery
  local attempts, named = unpack(redis.call('HMGET', key, 'attempts', 'named'))
  if named then
    redis.call('HDEL', key, 'named')
  end
  return attempts == lease.attempt, named
end

local function claim(plan)
  if plan.refund then
    note_refund(plan.subject, plan.refund)
  end
  if plan.dispute then
    note_dispute(plan.subject, plan.dispute)
  end
  local own = on_fact('HGETALL', plan.subject)
  local is_leased, is_named = look_at(plan.lease)
  if is_named and value_of('dismissed', own) then
    local delivery = plan.lease.delivery
    revive(delivery, redis.call('HGET', delivery_prefix .. delivery, 'type'), plan.subject)
    own = on_fact('HGETALL', plan.subject)
  end
  local is_frozen_or_other = value_of('delivery', own) or value_of('dismissed', own)
    or value_of('shown', own) ~= plan.shown
  if not plan.base or not is_leased then
    return standing(plan, own)
  end
  if is_frozen_or_other then
    local is_same = value_of('customer', own) == value_of('customer', plan.base)
    if plan.cap and is_same and lacks_place(own) and not take_place(plan) then
      append(own, 'capped', '1')
    end
    return standing(plan, own)
  end
  if plan.cap and not take_place(plan) then
    append(own, 'capped', '1')
    return standing(plan, own)
  end
  freeze(plan, value_of('customer', own), #own > 0)
  if #own == 0 and #plan.claims == 1 and plan.claims[1].subject == plan.subject then
    return now
  end
  return standing(plan, on_fact('HGETALL', plan.subject))
end

local standings = {}
for _, plan in ipairs(plans) do
  note_shown(plan) -- of all, before any is frozen: two webhooks of one order may be here
end
for i, plan in ipairs(plans) do
  standings[i] = claim(plan)
end
return standings
