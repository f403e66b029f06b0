-- needs: about_lists, claimers, doubts, due_take_backs, facts, lost_claims, next_instalments, outbox, outcomes, places, settled_counts, told
-- Records which grants Polar has accepted and what became of the deliveries. It is one step, so that no delivery is
-- `granted` while its grants are not settled in the ledger. A worker whose lease has run out changes no delivery:
-- another worker may have it by now.
--
-- Both lists are flat, because a table for each row would be garbage that Lua has to collect.
-- accepted: five values for each grant: subject, meter, units, grant and more. `grant` is the field of the claim, as it
--           was sent. `more` is false, or {unconfirmed, next}: `unconfirmed` is missing unless Polar may have another
--           amount; `next` = {member, at} is the order's next instalment, if there is one
-- outcomes: eight values for each delivery: id, attempt, status, reason, subject, order_id, customer_id and more. `more`
--           is false, or has values that few outcomes have, such as `refusal`. If the status is `waiting`, the delivery
--           is put off, and `more` has after_ms and strike. Otherwise `more` has what the outcome relies on: relies_on
--           (the subjects that are claimed; missing if that is its own alone), and is_shown, refunded_amount,
--           dispute (its id) and refused (take-backs of others that Polar refused), which may be missing. The outcome
--           of an instalment may have `put_back` = {member, at, meter, reason, polar_now}: it is looked at again at that
--           time, and the delivery goes;
--           polar_now is missing unless it was too early. Or it may have `ended` = {meter, reason}: no further
--           instalment follows.
-- bounds: the upper bounds of the buckets in which waiting times are counted, in s
-- counted_by_caller: a number for each field of the hash of counts
-- told_prefix, told_ms: where and how long to remember orders that were skipped (see told.lua)
-- notes_s: how long the notes about an order that is not credited are kept after its last delivery
-- channel: where the orders and the offers' deliveries with a new settlement are published
-- offered_prefix: of the hashes that count the places of offers
-- day_prefix, day_kept_s: of the hash with the counts of a day, and how long it is kept
-- most_waiting, most_given_up: how many credit events the outbox holds; '' if the storefront is not told of any
-- Returns the ids of the deliveries that did not end, because another worker has them by now or a dismissal has given
-- back what they relied on; and of those whose claim is lost.
local due, audit, pause, outage, probe, counts, unconfirmed, budget = unpack(KEYS, 1, 8)
local instalments = { to_come = KEYS[9], polar_clock = KEYS[10], due = KEYS[11] }
local delivery_prefix, body_prefix, status_prefix, about_prefix, retention_s = unpack(ARGV, 1, 5)
local accepted, outcomes = cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
local bounds, counted_by_caller = cjson.decode(ARGV[8]), cjson.decode(ARGV[9])
local bounds_ms = in_ms(bounds)
local told_prefix, told_ms, notes_s = ARGV[10], tonumber(ARGV[11]), ARGV[12]
local channel, offered_prefix, day_prefix, day_kept_s = unpack(ARGV, 13, 16)
local most_waiting, most_given_up = tonumber(ARGV[17]), tonumber(ARGV[18])
local outbox = outbox_in({ unpack(KEYS, 12, 17) })

local now = clock()
local now_text = text(now)
local expires_at = text(now + retention_s * 1000) -- of the deliveries that do not fail

local SETTLED = names_after('settled:')

local events = {} -- for the storefront
local newly_granted = {} -- by delivery: whether a grant, and not only a take-back, was settled just now
local newly_settled = {} -- by subject of which a grant was settled just now: whether it is reversed

-- A claim that was lost with its Redis names no delivery. It is left out: half a claim is worse than none. If another
-- worker has claimed it again, maybe by other rules, Polar has one of two amounts.
local function settle_grant(subject, meter, units, grant, more)
  local delivery, grant_now, is_reversed_now = claimed(subject, meter)
  if grant_now and on_fact('HSETNX', subject, SETTLED[meter], now_text) == 1 then
    redis.call('XADD', audit, '*', 'subject', subject, 'meter', meter)
    note_given(meter, grant, units)
    if most_waiting then
      events[#events + 1] = subject .. '\n' .. meter
    end
    if grant_now ~= grant or (more and more.unconfirmed) then
      begin_doubt(subject, meter, unconfirmed, now_text)
    end
    begin_next(instalments, subject, meter, more and more.next)
    newly_granted[delivery] = units > 0 or newly_granted[delivery]
    newly_settled[subject] = is_reversed_now
  end
end

for i = 1, #accepted, 5 do
  settle_grant(unpack(accepted, i, i + 4))
end

-- Returns the kind of a fact, and the first id in its subject. It recognizes orders, which most facts are, without a
-- pattern: patterns are slow.
local function kind_and_id(subject)
  if string.sub(subject, 1, #'credits:order:') == 'credits:order:' then
    return 'order', string.sub(subject, #'credits:order:' + 1)
  end
  return string.match(subject, '^credits:(%a+):([^:]+)')
end

local settled_ids = {} -- a set: of orders, and of deliveries that give offers
for subject, is_reversed_now in pairs(newly_settled) do
  local kind, order_id = kind_and_id(subject)
  if kind == 'order' or kind == 'instalment' or kind == 'adjust' then
    settled_ids[order_id] = true
  end
  if is_take_back_due(kind, order_id, is_reversed_now) then
    local customer_id = on_fact('HGET', subject, 'customer')
    queue_take_back(order_id, customer_id, due, delivery_prefix, body_prefix, status_prefix)
  end
end

local function put_off(key, outcome)
  count('retries')
  redis.call('ZADD', due, text(now + outcome.more.after_ms), outcome.id)
  write_outcome(key, outcome, 'put_off', text(outcome.attempt))
  if outcome.more.strike then
    redis.call('HINCRBY', key, 'strikes', 1)
  end
end

local function claim_again(key, outcome, reason)
  redis.call('ZADD', due, now_text, outcome.id)
  outcome.reason = reason
  write_outcome(key, outcome, 'put_off', text(outcome.attempt))
end

local function set_expiry(key, status)
  if status == 'failed' then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIREAT', key, expires_at)
  end
end

local function update_lists(outcome, are_listed)
  for _, about in ipairs({ outcome.order_id, outcome.customer_id }) do
    if about ~= '' then
      update_list(
        about_prefix .. about, outcome.id, are_listed, outcome.status == 'failed' and '+inf' or expires_at, now
      )
    end
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

-- A take-back that was held has outlived the delivery that claimed it. If Polar refuses it from another, it is that one's
-- from now on: who dismisses or replays that one means the take-back.
local function adopt_refused(outcome)
  for _, subject in ipairs(outcome.more.refused or NOTHING_MORE) do
    local claimer, dismissed = unpack(on_fact('HMGET', subject, 'delivery', 'dismissed'))
    local status = claimer and redis.call('HGET', delivery_prefix .. claimer, 'status')
    if claimer and not dismissed and status ~= 'waiting' and status ~= 'failed' then
      on_fact('HSET', subject, 'delivery', outcome.id)
    end
  end
end

local function tell_failure(outcome)
  if not most_waiting then
    return
  end
  local event = 'failed\n' .. outcome.id .. ':' .. outcome.attempt
  redis.call('HSET', outbox.failures, event, cjson.encode({
    at = now_text, reason = outcome.reason, subject = outcome.subject, order_id = outcome.order_id,
    customer_id = outcome.customer_id,
  }))
  events[#events + 1] = event
end

-- Each command is one entry of the append-only file. So what one command can do for all deliveries is done at the end.
local concluded, received_by_status = {}, {}

local function conclude(key, outcome, received_at, type_)
  local id, status = outcome.id, outcome.status
  if newly_granted[id] then
    note_wait(now - received_at, bounds_ms)
    newly_granted[id] = nil
  end
  write_outcome(key, outcome, 'status', status, 'settled_at', now_text)
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
  -- Most deliveries claim a fact, so the ledger names them. They need no list.
  local is_named = outcome.subject ~= '' and claimer_of(outcome.subject) == id
  if status == 'failed' and is_named then
    return_place(outcome.subject, offered_prefix .. outcome.customer_id)
  end
  if status == 'failed' then
    adopt_refused(outcome)
    tell_failure(outcome)
  end
  local is_skipped_order = status == 'skipped' and type_ == 'order.paid' and outcome.order_id ~= ''
  if is_skipped_order and not claimer_of(outcome.subject) then
    remember_told(told_prefix, told_ms, now, outcome.order_id)
  end
  if not is_named or outcome.attempt > 1 then -- else it is in no list yet
    update_lists(outcome, not is_named)
    set_expiry_of_notes(outcome)
  end
end

-- The delivery goes: its instalment comes again as another one.
local function put_back_and_forget(key, outcome)
  put_back(instalments, outcome.id, outcome.subject, outcome.more.put_back, now)
  redis.call('DEL', key, body_prefix .. outcome.id)
  concluded[#concluded + 1] = outcome.id
end

local function conclude_instalment(outcome, type_)
  if type_ == 'credits.instalment' then
    redis.call('SREM', instalments.due, outcome.id)
  end
  if outcome.more.ended then
    end_instalments(outcome.subject, outcome.more.ended)
  end
end

local lost, unclaimed = {}, {}

local function settle_delivery(outcome)
  local key = delivery_prefix .. outcome.id
  local status, attempts, received_at, type_ =
    unpack(redis.call('HMGET', key, 'status', 'attempts', 'received_at', 'type'))
  if status ~= 'waiting' or tonumber(attempts) ~= outcome.attempt then
    lost[#lost + 1] = outcome.id
  elseif outcome.status == 'waiting' and not outcome.more.put_back then
    put_off(key, outcome)
  elseif is_claim_lost(outcome, type_) and is_bonus_gone(outcome) then
    claim_again(key, outcome, 'a bonus that it relied on is claimed no more: it is claimed again')
    lost[#lost + 1] = outcome.id
  elseif is_claim_lost(outcome, type_) then
    count('lost_claims')
    claim_again(key, outcome, "its claim was lost with Redis's newest data: it is claimed again")
    unclaimed[#unclaimed + 1] = outcome.id
  elseif outcome.more.put_back then
    put_back_and_forget(key, outcome)
  else
    conclude_instalment(outcome, type_)
    conclude(key, outcome, received_at, type_)
  end
end

for i = 1, #outcomes, 8 do
  settle_delivery(outcome_at(outcomes, i))
end
-- Some grants belong to deliveries that another worker has by now. Their wait is over too.
for id in pairs(newly_granted) do
  local received_at = redis.call('HGET', delivery_prefix .. id, 'received_at')
  if received_at then
    note_wait(now - received_at, bounds_ms)
  end
end
call_with('ZREM', due, concluded)
call_with('ZREM', status_prefix .. 'waiting', concluded)
for status, received in pairs(received_by_status) do
  call_with('ZADD', status_prefix .. status, received)
  count('outcomes', status, #received / 2)
end
if most_waiting then
  tell_events(outbox, events, most_waiting, most_given_up)
end
-- An accepted grant ends an outage, whoever sent it, unless the next pause has begun meanwhile.
if #accepted > 0 and redis.call('EXISTS', pause) == 0 then
  redis.call('DEL', outage, probe)
end
count_given()
count_waits(bounds)
for field, by in pairs(counted_by_caller) do
  add_to_count(field, by)
end
write_counts(counts)

local day = day_prefix .. text(math.floor(now / 86400000))
count_for_charts(day, budget)
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
