-- Records which grants Polar has accepted and what became of the deliveries. It is one step, so that no delivery is
-- `granted` while its grants are not settled in the ledger. A worker whose lease has run out changes no delivery:
-- another worker may have it by now.
--
-- accepted: {subject, meter, units, grant, unconfirmed, next}; `grant` is the field of the claim, as it was sent;
--           `unconfirmed` is missing unless Polar may have another amount; `next` = {member, at} is the instalment of
--           an order that follows, if one does
-- outcomes: {id, attempt, status, reason, subject, order_id, customer_id, refusal}; refusal may be missing; if the status is `waiting`, the delivery is
--           put off, and the row also has after_ms and strike. Otherwise it has what the outcome relies on: relies_on
--           (subjects that are claimed), is_shown, refunded_amount and dispute (its id; both may be missing). The
--           outcome of an instalment may have `put_back` = {member, at, meter, reason, polar_now}: it is looked at again
--           at that time, and the delivery goes; polar_now is missing unless it was too early. Or it may have
--           `ended` = {meter, reason}: no further instalment follows.
-- bounds: the upper bounds of the buckets in which waiting times are counted, in s
-- counted_by_caller: a number for each field of the hash of counts
-- told_prefix, told_ms: where and how long to remember orders that were skipped (see ledger.lua)
-- notes_s: how long the notes about an order that is not credited are kept after its last delivery
-- channel: where the orders and the offers' deliveries with a new settlement are published
-- offered_prefix: of the hashes that count the places of offers
-- day_prefix, day_kept_s: of the hash with the counts of a day, and how long it is kept
-- most_waiting, most_given_up: how many credit events the outbox holds; '' if the storefront is not told of any
-- Returns the ids of the deliveries that did not end, because another worker has them by now or a dismissal has given
-- back what they relied on; and of those whose claim is lost.
local due, audit, pause, outage, probe, counts, unconfirmed, budget, instalments, polar_clock, due_instalments =
  unpack(KEYS)
local delivery_prefix, body_prefix, status_prefix, about_prefix, retention_s = unpack(ARGV, 1, 5)
local accepted, outcomes = cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
local bounds, counted_by_caller = cjson.decode(ARGV[8]), cjson.decode(ARGV[9])
local told_prefix, told_ms, notes_s = ARGV[10], tonumber(ARGV[11]), ARGV[12]
local channel, offered_prefix, day_prefix, day_kept_s = unpack(ARGV, 13, 16)
local most_waiting, most_given_up = tonumber(ARGV[17]), tonumber(ARGV[18])
local outbox = outbox_in({ unpack(KEYS, 12, 17) })

local now = clock()

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
    unpack(on_fact('HMGET', subject, 'delivery', 'grant:' .. meter, 'refunded_amount', 'disputed'))
  claimed_by[subject] = delivery
  return delivery, grant, refunded or disputed
end

local function count_grant(meter, units)
  count('grants', meter)
  if units > 0 then
    count('granted_units', meter, units)
  else
    count('taken_back_units', meter, -units)
  end
end

local given = {} -- by meter and field of the claim: how many such grants were settled just now

local events = {} -- for the storefront

-- Exactly one further instalment follows from one that was settled. Its date is by Polar's clock, whatever the clock of
-- Redis shows.
local function begin_next(subject, meter, following)
  local order = 'credits:order:' .. string.match(subject, '^credits:%a+:([^:]+)')
  if string.sub(subject, 1, #'credits:instalment:') == 'credits:instalment:' then
    on_fact('HDEL', order, 'waits:' .. meter)
  end
  if following and on_fact('HEXISTS', order, 'ended:' .. meter) == 0 then
    redis.call('ZADD', instalments, 'NX', following.at, following.member)
  end
end

local newly_granted = {} -- by delivery: whether a grant, and not only a take-back, was settled just now
local newly_settled = {} -- by subject of which a grant was settled just now: whether it is reversed
for _, grant in ipairs(accepted) do
  local subject, meter, units = grant.subject, grant.meter, grant.units
  -- A claim that was lost with its Redis names no delivery. It is left out: half a claim is worse than none. If another
  -- worker has claimed it again, maybe by other rules, Polar has one of two amounts.
  local delivery, grant_now, is_reversed_now = claimed(subject, meter)
  if grant_now and on_fact('HSETNX', subject, 'settled:' .. meter, text(now)) == 1 then
    redis.call('XADD', audit, '*', 'subject', subject, 'meter', meter)
    count_grant(meter, units)
    given[meter] = given[meter] or {}
    given[meter][grant.grant] = (given[meter][grant.grant] or 0) + 1
    if most_waiting then
      events[#events + 1] = subject .. '\n' .. meter
    end
    if grant.unconfirmed or grant_now ~= grant.grant then
      on_fact('HSET', subject, 'unconfirmed:' .. meter, '')
      redis.call('ZADD', unconfirmed, text(now), subject .. '\n' .. meter)
    end
    begin_next(subject, meter, grant.next)
    newly_granted[delivery] = units > 0 or newly_granted[delivery]
    newly_settled[subject] = is_reversed_now
  end
end
-- Returns whether something may have to be taken back after the adjustment of an order: a dispute, or a refund that was
-- noted while the adjustment was not settled.
local function is_reversed_meanwhile(order_id)
  local refunded, disputed = unpack(on_fact('HMGET', 'credits:order:' .. order_id, 'refunded_amount', 'disputed'))
  return disputed or (refunded and on_fact('EXISTS', 'credits:refund:' .. order_id .. ':' .. refunded) == 0)
end

-- Returns whether refunds or disputes may take something of an order, or a revoke by hand was held until now.
local function may_have_take_backs(order)
  return is_reversed(order) or string.find(on_fact('HGET', order, 'also') or '', 'revoke', 1, true)
end

local settled_ids = {} -- a set: of orders, and of deliveries that give offers
-- A refund or a dispute that came before its order was credited, or while an adjustment or an instalment was under way,
-- counts now.
for subject, is_reversed_now in pairs(newly_settled) do
  local kind, order_id = string.match(subject, '^credits:(%a+):([^:]+)')
  local may_take_back = (kind == 'order' and is_reversed_now)
    or (kind == 'instalment' and may_have_take_backs('credits:order:' .. order_id))
    or (kind == 'adjust' and is_reversed_meanwhile(order_id))
  if kind == 'order' or kind == 'instalment' or kind == 'adjust' then
    settled_ids[order_id] = true
  end
  if may_take_back then
    local customer_id = on_fact('HGET', subject, 'customer')
    queue_take_back(order_id, customer_id, due, delivery_prefix, body_prefix, status_prefix)
  end
end

-- The order's id is not written: the subject contains it.
local function write_outcome(key, outcome, fields)
  append(fields, 'subject', outcome.subject)
  append(fields, 'customer_id', outcome.customer_id)
  if outcome.refusal then
    append(fields, 'refusal', outcome.refusal)
  elseif outcome.attempt > 1 then
    redis.call('HDEL', key, 'refusal')
  end
  if outcome.attempt == 1 then -- there is no earlier reason to replace
    append_reason(fields, outcome.reason)
    write(key, fields)
  else
    write_with_reason(key, fields, outcome.reason)
  end
end

local bounds_ms = {}
for i, bound in ipairs(bounds) do
  bounds_ms[i] = i < #bounds and bound * 1000 or math.huge -- the last one is +Inf
end

local function count_wait(ms)
  ms = math.max(0, ms) -- the clock of Redis may have been set back meanwhile
  count('delivery_to_credit_seconds_sum', nil, ms / 1000)
  for i, bound_ms in ipairs(bounds_ms) do
    if ms <= bound_ms then
      return count('delivery_to_credit_seconds', bounds[i])
    end
  end
end

local function put_off(key, outcome)
  count('retries')
  redis.call('ZADD', due, text(now + outcome.after_ms), outcome.id)
  write_outcome(key, outcome, {})
  if outcome.strike then
    redis.call('HINCRBY', key, 'strikes', 1)
  end
end

-- A Redis that came back without its newest data may have kept a lease, and lost the claim that came after it. Then
-- nothing would know of the credit, and no refund could take it back. So the delivery claims again.
local function is_claim_lost(outcome, type_)
  local is_known, seen = false, {}
  for _, subject in ipairs(outcome.relies_on) do
    if not claimer_of(subject) then
      return true
    end
    is_known, seen[subject] = is_known or subject == outcome.subject, true
  end
  for _, subject in ipairs(IS_LATER[type_] and later_claims_by(outcome.id, outcome.subject) or {}) do
    if not seen[subject] then
      return true -- the other worker's, as below
    end
  end
  -- If the lease was lost too, another worker has one with the same number, and has claimed what this one did not see.
  if outcome.subject ~= '' and not is_known and claimer_of(outcome.subject) == outcome.id then
    return true
  end
  if outcome.is_shown and on_fact('HEXISTS', outcome.subject, 'shown') == 0 then
    return true
  end
  if outcome.dispute and on_fact('HEXISTS', outcome.subject, 'dispute:' .. outcome.dispute) == 0 then
    return true
  end
  local refunded_amount = outcome.refunded_amount
  return refunded_amount and refunded_amount > tonumber(on_fact('HGET', outcome.subject, 'refunded_amount') or -1)
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

local function claim_again(key, outcome, reason)
  redis.call('ZADD', due, text(now), outcome.id)
  outcome.reason = reason
  write_outcome(key, outcome, {})
end

local function set_expiry(key, status)
  if status == 'failed' then
    redis.call('PERSIST', key)
  else
    redis.call('EXPIRE', key, retention_s)
  end
end

-- A list of the deliveries about an order or a customer, scored by when they expire. It expires with the last of them.
local function update_list(list, outcome, is_listed)
  if is_listed then
    local expires_at = outcome.status == 'failed' and '+inf' or text(now + retention_s * 1000)
    redis.call('ZADD', list, expires_at, outcome.id)
  elseif redis.call('ZREM', list, outcome.id) == 0 then
    return
  end
  redis.call('ZREMRANGEBYSCORE', list, '-inf', text(now))
  local last = redis.call('ZRANGE', list, -1, -1, 'WITHSCORES')[2]
  if last == 'inf' then
    redis.call('PERSIST', list)
  elseif last then
    redis.call('EXPIRE', list, text(math.ceil((last - now) / 1000)))
  end
end

-- A refund or a dispute is noted with its order even if the order is never credited. Such a note expires, but not while
-- a delivery of the order has failed: that one may be replayed at any time. What a webhook showed, and a dismissal, are
-- kept for ever.
local function set_expiry_of_notes(outcome)
  local order = outcome.subject
  if outcome.order_id == '' or claimer_of(order) or not is_reversed(order) then
    return
  end
  local shown, dismissed = unpack(on_fact('HMGET', order, 'shown', 'dismissed'))
  local last = redis.call('ZRANGE', about_prefix .. outcome.order_id, -1, -1, 'WITHSCORES')[2]
  if shown or dismissed or last == 'inf' then
    on_fact('PERSIST', order)
  else
    on_fact('EXPIRE', order, notes_s)
  end
end

-- An offer that Polar refused takes none of its customer's places. A replay takes one again (see claim.lua).
local function return_place(outcome)
  local offer = string.match(outcome.subject, '^credits:offer:([^:]+):key:')
  if not offer or claimer_of(outcome.subject) ~= outcome.id then
    return
  end
  for _, field in ipairs(on_fact('HKEYS', outcome.subject)) do
    if string.find(field, 'settled:', 1, true) == 1 then
      return
    end
  end
  if on_fact('HDEL', outcome.subject, 'place') == 1 then
    redis.call('HINCRBY', offered_prefix .. outcome.customer_id, offer, -1)
  end
end

local function tell_failure(outcome)
  local event = 'failed\n' .. outcome.id .. ':' .. outcome.attempt
  redis.call('HSET', outbox.failures, event, cjson.encode({
    at = text(now), reason = outcome.reason, subject = outcome.subject, order_id = outcome.order_id,
    customer_id = outcome.customer_id,
  }))
  events[#events + 1] = event
end

-- Each command is one entry of the append-only file. So what one command can do for all deliveries is done at the end.
local concluded, received_by_status = {}, {}

local function conclude(key, outcome, received_at, type_)
  local id, status = outcome.id, outcome.status
  count('outcomes', status)
  if newly_granted[id] then
    count_wait(now - received_at)
    newly_granted[id] = nil
  end
  write_outcome(key, outcome, { 'status', status, 'settled_at', text(now) })
  concluded[#concluded + 1] = id
  if outcome.order_id ~= '' then
    settled_ids[outcome.order_id] = true
  elseif type_ == 'credits.offer' then
    settled_ids[id] = true
  end
  received_by_status[status] = received_by_status[status] or {}
  append(received_by_status[status], received_at, id)
  set_expiry(key, status)
  set_expiry(body_prefix .. id, status)
  if status == 'failed' then
    return_place(outcome)
    if most_waiting then
      tell_failure(outcome)
    end
  end
  local is_skipped_order = status == 'skipped' and type_ == 'order.paid' and outcome.order_id ~= ''
  if is_skipped_order and not claimer_of(outcome.subject) then
    remember_told(told_prefix, told_ms, now, outcome.order_id)
  end
  -- Most deliveries claim a fact, so the ledger names them. They need no list.
  local is_named = outcome.subject ~= '' and claimer_of(outcome.subject) == id
  if is_named and outcome.attempt == 1 then
    return -- it is in no list yet
  end
  for _, about in ipairs({ outcome.order_id, outcome.customer_id }) do
    if about ~= '' then
      update_list(about_prefix .. about, outcome, not is_named)
    end
  end
  set_expiry_of_notes(outcome)
end

-- An instalment whose time has not come, or whose subscription has to wait, is to come again. So that no tick makes it
-- due at once, the difference of the clocks is noted where it shows.
local function put_back(key, outcome)
  local order, back = outcome.subject, outcome.put_back
  redis.call('ZADD', instalments, back.at, back.member)
  redis.call('DEL', key, body_prefix .. outcome.id)
  concluded[#concluded + 1] = outcome.id
  redis.call('SREM', due_instalments, outcome.id)
  if back.polar_now then
    redis.call('SET', polar_clock, text(now - back.polar_now), 'EX', 86400)
  end
  if back.reason == '' then
    on_fact('HDEL', order, 'waits:' .. back.meter)
  elseif claimer_of(order) then
    on_fact('HSET', order, 'waits:' .. back.meter, back.reason)
  end
end

local function end_instalments(outcome, type_)
  if type_ == 'credits.instalment' then
    redis.call('SREM', due_instalments, outcome.id)
  end
  if outcome.ended and claimer_of(outcome.subject) then
    on_fact('HDEL', outcome.subject, 'waits:' .. outcome.ended.meter)
    on_fact('HSET', outcome.subject, 'ended:' .. outcome.ended.meter, outcome.ended.reason)
  end
end

local lost, unclaimed = {}, {}
for _, outcome in ipairs(outcomes) do
  local key = delivery_prefix .. outcome.id
  local status, attempts, received_at, type_ =
    unpack(redis.call('HMGET', key, 'status', 'attempts', 'received_at', 'type'))
  if status ~= 'waiting' or tonumber(attempts) ~= outcome.attempt then
    lost[#lost + 1] = outcome.id
  elseif outcome.status == 'waiting' and not outcome.put_back then
    put_off(key, outcome)
  elseif is_claim_lost(outcome, type_) and is_bonus_gone(outcome) then
    claim_again(key, outcome, 'a bonus that it relied on is claimed no more: it is claimed again')
    lost[#lost + 1] = outcome.id
  elseif is_claim_lost(outcome, type_) then
    count('lost_claims')
    claim_again(key, outcome, "its claim was lost with Redis's newest data: it is claimed again")
    unclaimed[#unclaimed + 1] = outcome.id
  elseif outcome.put_back then
    put_back(key, outcome)
  else
    end_instalments(outcome, type_)
    conclude(key, outcome, received_at, type_)
  end
end
-- Some grants belong to deliveries that another worker has by now. Their wait is over too.
for id in pairs(newly_granted) do
  local received_at = redis.call('HGET', delivery_prefix .. id, 'received_at')
  if received_at then
    count_wait(now - received_at)
  end
end
call_with('ZREM', due, concluded)
call_with('ZREM', status_prefix .. 'waiting', concluded)
for status, received in pairs(received_by_status) do
  call_with('ZADD', status_prefix .. status, received)
end
if most_waiting then
  tell_events(outbox, events, most_waiting, most_given_up)
end
-- An accepted grant ends an outage, whoever sent it, unless the next pause has begun meanwhile.
if #accepted > 0 and redis.call('EXISTS', pause) == 0 then
  redis.call('DEL', outage, probe)
end
for field, by in pairs(counted_by_caller) do
  add_to_count(field, by)
end
write_counts(counts)

-- The same is counted for each day, and what only charts show: the credits of each rule (a field of a claim is
-- `rule=credits:policies`, and the next rule after a space), and how long our share of Polar's rate limit needs at most
-- until it is whole again.
local function count_for_charts(day)
  for meter, fields in pairs(given) do
    for field, times in pairs(fields) do
      for rule, units in string.gmatch(field, '([^%s=]+)=([%d.]+)') do
        count('given_by_rule', rule .. ' ' .. meter, units * times)
      end
    end
  end
  local most_ms = tonumber(redis.call('HGET', day, 'most_used_ms') or 0)
  count('most_used_ms', nil, math.max(0, redis.call('PTTL', budget) - most_ms))
end

local day = day_prefix .. text(math.floor(now / 86400000))
count_for_charts(day)
write_counts(day)
redis.call('EXPIRE', day, day_kept_s)

-- Whoever waits for one of these looks it up now. A failure is ignored: Redis's user may lack the permission.
local told = {}
for id in pairs(settled_ids) do
  told[#told + 1] = id
end
if #told > 0 then
  redis.pcall('PUBLISH', channel, table.concat(told, ' '))
end
return { lost, unclaimed }
