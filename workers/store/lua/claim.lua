-- needs: facts, instalments, links, places, rate_limit, revival
-- Freezes each plan whose fact is not frozen yet, and returns what the ledger has for each fact. It is one step, so
-- that of two workers with different rules only one freezes a plan. A plan without `own` and `base` only reads.
--
-- plans: a flat list with four values for each plan: subject, attempt, own and more. All but the subject are false if
--        missing. `more` is {base = fields, claims = {{subject, fields}}, refund = {amount, share},
--        dispute = {id, share}, shown, cap = {key, offer, most}, period = fields, chain = {key, at, order, meters},
--        instalments = {subject}}; any of these may be missing. `own` holds the fields of the fact's own claim,
--        `base` those of a fact that gets only linked claims, which are in `claims`; `attempt` is that of the delivery,
--        whose lease must be valid; `shown` is what the webhook shows the order to be; `period` holds the fields of an
--        order with instalments, `chain` where to note that it begins them; `cap` says which of the customer's places of
--        an offer the claim takes; `instalments` lists the only later instalments of an order that are wanted, because
--        it may have hundreds.
-- burst, interval_ms, reason: given if the caller is about to ask Polar. If a plan is frozen, the request is taken from
--        our share in the same step (see take_request): that saves a write to disk before it.
-- Returns first 1 if that request may be made, 0 if it may not, -1 if none was taken. Then, for each plan, {the fact's
-- hash, {subject, its hash, 1 if it is a linked claim, else 0}, ...}. The hash has a field `capped` if the customer has
-- no place left, and the fields `superseded:<meter>` (an order's id) and `superseded_at:<meter>` (when it was created)
-- where a later order of the same subscription has begun instalments there. Where the whole plan was frozen just now,
-- and the ledger had nothing for the fact before, it returns only the time (ms).
local customers, share_keys = KEYS[1], { unpack(KEYS, 2) }
local delivery_prefix, flat_plans, chain_prefix = ARGV[1], cjson.decode(ARGV[2]), ARGV[3]
local burst, interval_ms, reason = unpack(ARGV, 4)

local NOTHING = {}
local plans, subjects = {}, {}
for i = 1, #flat_plans, 4 do
  local subject, attempt, own, more = unpack(flat_plans, i, i + 3)
  local plan = { subject = subject, attempt = attempt or nil, own = own or nil }
  for name, value in pairs(more or NOTHING) do
    plan[name] = value
  end
  plans[#plans + 1], subjects[#subjects + 1] = plan, subject
end

local now = text(clock())
local has_frozen = false

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

-- The newest fact of each customer. One command reads those of all plans, and one writes those that have changed: each
-- command is one entry of the append-only file.
local newest, changed = {}, {}

local function read_newest()
  local asked = {}
  for _, plan in ipairs(plans) do
    local fields = plan.own or plan.base
    asked[#asked + 1] = fields and value_of('customer', fields)
  end
  for i = 1, #asked, 1000 do
    local found = redis.call('HMGET', customers, unpack(asked, i, math.min(i + 999, #asked)))
    for j, fact in ipairs(found) do
      newest[asked[i + j - 1]] = fact
    end
  end
end

local function write_newest()
  local fields = {}
  for customer in pairs(changed) do
    append(fields, customer, newest[customer])
  end
  call_with('HSET', customers, fields)
end

-- Makes a fact the newest of its customer; returns the one before it.
local function put_into_chain(customer, fact)
  local before = newest[customer] or newest_sealed(customer)
  newest[customer], changed[customer] = string.sub(fact, #'credits:' + 1), true
  return before
end

-- Freezes the claims that are linked to a fact; returns the links to those that were not frozen before.
local function freeze_linked(claims)
  local links = {}
  for _, claim in ipairs(claims or links) do
    if not is_frozen(claim.subject) then
      append(claim.fields, 'claimed_at', now)
      write_fact(claim.subject, claim.fields)
      links[#links + 1] = link_to(claim.subject)
    end
  end
  return links
end

-- A fact whose claim a dismissal has released is in its customer's chain already.
local function freeze(plan, is_chained, has_notes)
  local links = freeze_linked(plan.claims)
  if not plan.own and #links == 0 then
    return
  end
  local fields = plan.own or plan.base
  if plan.own and plan.period then
    for _, each in ipairs(plan.period) do
      fields[#fields + 1] = each
    end
    begin_chain(plan.chain)
  end
  append(fields, 'claimed_at', now)
  if not is_chained then
    local before = put_into_chain(value_of('customer', fields), plan.subject)
    if before then
      append(fields, 'before', before)
    end
  end
  if #links > 0 then
    append(fields, 'also', table.concat(links, ' '))
  end
  has_frozen = true
  write_fact(plan.subject, fields) -- one command: each command is one entry of the append-only file
  if has_notes then
    on_fact('PERSIST', plan.subject)
  end
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
  for _, claim in ipairs(plan.claims or {}) do
    add(claim.subject, 0)
  end
  return found
end

-- Returns whether a lease is still valid, and whether a person has replayed its delivery by name before anybody had read
-- it. The name works once: it must not undo a dismissal that comes later.
local function look_at(delivery, attempt)
  local key = delivery_prefix .. delivery
  local attempts, named = unpack(redis.call('HMGET', key, 'attempts', 'named'))
  if named then
    redis.call('HDEL', key, 'named')
  end
  return attempts == attempt, named
end

local function claim(plan)
  if plan.refund then
    note_refund(plan.subject, plan.refund)
  end
  if plan.dispute then
    note_dispute(plan.subject, plan.dispute)
  end
  local own, fields = on_fact('HGETALL', plan.subject), plan.own or plan.base
  local delivery = fields and value_of('delivery', fields)
  local is_leased, is_named = true, false
  if plan.attempt then
    is_leased, is_named = look_at(delivery, plan.attempt)
  end
  if is_named and value_of('dismissed', own) then
    revive(delivery, redis.call('HGET', delivery_prefix .. delivery, 'type'), plan.subject)
    own = on_fact('HGETALL', plan.subject)
  end
  local is_frozen_or_other = value_of('delivery', own) or value_of('dismissed', own)
    or value_of('shown', own) ~= plan.shown
  if not fields or not is_leased then
    return standing(plan, own)
  end
  if is_frozen_or_other then
    local is_same = value_of('customer', own) == value_of('customer', fields)
    if plan.cap and is_same and lacks_place(own) and not take_place(plan.subject, plan.cap) then
      append(own, 'capped', '1')
    end
    return standing(plan, own)
  end
  if plan.cap and not take_place(plan.subject, plan.cap) then
    append(own, 'capped', '1')
    return standing(plan, own)
  end
  freeze(plan, value_of('customer', own), #own > 0)
  if #own == 0 and plan.own and not plan.claims then
    return now
  end
  return standing(plan, on_fact('HGETALL', plan.subject))
end

local answer = { -1 }
for _, plan in ipairs(plans) do
  note_shown(plan) -- of all, before any is frozen: two webhooks of one order may be here
end
note_absent(subjects)
read_newest()
for i, plan in ipairs(plans) do
  answer[i + 1] = claim(plan)
end
write_newest()
if burst and has_frozen then
  answer[1] = take_request(share_keys, burst, interval_ms, reason)
end
return answer
