-- What scripts share about the ledger: links between claims, later claims, take-backs, doubts, and orders that were told.

-- A fact names its linked claims in its field `also`, separated by spaces. To keep that value short, a link leaves out
-- the id that the fact itself has (its customer's or its order's): `credits:customer:<id>:bonus` becomes
-- `customer:bonus`.
--
-- A lost dispute has an id of its own, which its link keeps.
local function link_to(subject)
  local kind, rest = string.match(subject, '^credits:(%a+):[^:]+(.*)$')
  if kind == 'dispute' then
    return string.sub(subject, #'credits:' + 1)
  end
  return kind .. escaped(rest)
end

local function linked_by(link, fact)
  local kind, rest = string.match(link, '^(%a+)(.*)$')
  if kind == 'dispute' then
    return 'credits:' .. link
  end
  local id = kind == 'customer' and on_fact('HGET', fact, 'customer')
    or string.match(fact, '^credits:%a+:([^:]+)')
  return 'credits:' .. kind .. ':' .. id .. unescaped(rest)
end

-- A worker whose lease has run out freezes nothing: another worker has the delivery by now, maybe with newer rules.
local function is_valid(lease, delivery_prefix)
  return not lease or redis.call('HGET', delivery_prefix .. lease.delivery, 'attempts') == lease.attempt
end

-- Links the claim of `subject` to a fact, so that whoever reads the fact finds it.
local function add_link(fact, subject)
  local also, link = on_fact('HGET', fact, 'also'), link_to(subject)
  if not string.find(' ' .. (also or '') .. ' ', ' ' .. link .. ' ', 1, true) then
    on_fact('HSET', fact, 'also', also and also .. ' ' .. link or link)
  end
end

-- The facts of one customer form a chain, from the newest to the oldest: the hash `customers` names the newest (or, once
-- that is sealed, a table: see facts.lua), and each fact names the one before it in its field `before`. All leave out the
-- `credits:` with which every subject begins.
local function newest_fact(customers, customer)
  return redis.call('HGET', customers, customer) or newest_sealed(customer)
end

local function set_newest_fact(customers, customer, fact)
  redis.call('HSET', customers, customer, string.sub(fact, #'credits:' + 1))
end

-- A take-back is computed from fields of its order. `changes` lists these fields as {field, before, after}. Returns
-- whether each still has its value `before`. An empty text stands for a missing field.
local function is_unchanged(order, changes)
  for _, change in ipairs(changes) do
    if (on_fact('HGET', order, change.field) or '') ~= change.before then
      return false
    end
  end
  return true
end

local function write_changes(order, changes)
  for _, change in ipairs(changes) do
    if change.after == '' then
      on_fact('HDEL', order, change.field)
    else
      on_fact('HSET', order, change.field, change.after)
    end
  end
end

-- An order whose webhook was skipped is told: it is remembered for as long as anything may look back for it
-- (`told_ms`), though its delivery may expire sooner. An id takes 20 bytes: its 16 are the field of a hash with a few
-- hundred others, which Redis keeps in one piece. The hashes of one period expire together, after the next period.
local function told_period(told_ms, now)
  return math.floor(now / told_ms)
end

local function told_place(prefix, period, order_id)
  local packed = string.gsub(string.gsub(order_id, '-', ''), '%x%x', function(byte)
    return string.char(tonumber(byte, 16))
  end)
  return prefix .. text(period) .. ':' .. string.sub(order_id, 1, 3), packed
end

local function remember_told(prefix, told_ms, now, order_id)
  local period = told_period(told_ms, now)
  local key, field = told_place(prefix, period, order_id)
  local is_first = redis.call('EXISTS', key) == 0
  redis.call('HSET', key, field, '')
  if is_first then
    redis.call('PEXPIRE', key, text((period + 2) * told_ms - now))
  end
end

-- Also looks into the next period: the clock may have been ahead.
local function is_told(prefix, told_ms, now, order_id)
  local period = told_period(told_ms, now)
  for one = period + 1, period - 1, -1 do
    if redis.call('HEXISTS', told_place(prefix, one, order_id)) == 1 then
      return true
    end
  end
  return false
end

-- Notes that an order begins instalments, unless a later order of its subscription has begun some on the same meter.
local function begin_chain(chain)
  for _, meter in ipairs(chain.meters) do
    local known = redis.call('HGET', chain.key, meter)
    if not known or tonumber(string.match(known, '^%d+')) < tonumber(chain.at) then
      redis.call('HSET', chain.key, meter, chain.at .. ' ' .. chain.order)
    end
  end
end

-- Returns the meters on which instalments follow the claim of an order.
local function meters_with_instalments(own)
  local meters = {}
  for i = 1, #own, 2 do
    local meter = string.match(own[i], '^grant:(.*)$')
    if meter and (string.find(own[i + 1], ':month', 1, true) or string.find(own[i + 1], ':week', 1, true)) then
      meters[#meters + 1] = meter
    end
  end
  return meters
end

-- Calls `add` with the subject of each later instalment of an order, and adds to the order's fields, as they were read, by
-- which later order of the same subscription they are replaced, and when that was created. With `only`, a list of subjects, it adds no others.
local function add_instalments(order, own, chain_prefix, add, only)
  local subscription = value_of('subscription', own)
  local order_id = string.match(order, '^credits:order:(.*)$')
  for _, subject in ipairs(only or {}) do
    add(subject, 1)
  end
  for _, meter in ipairs(subscription and meters_with_instalments(own) or {}) do
    for number = 2, only and 1 or tonumber(value_of('begun:' .. meter, own) or 1) do
      add('credits:instalment:' .. order_id .. ':' .. number .. ':' .. meter, 1)
    end
    local at, youngest = string.match(redis.call('HGET', chain_prefix .. subscription, meter) or '', '^(%d+) (.*)$')
    if youngest and youngest ~= order_id then
      append(own, 'superseded:' .. meter, youngest)
      append(own, 'superseded_at:' .. meter, at)
    end
  end
end

-- The types of deliveries that never make an order's own credits. To dismiss one says nothing about those.
local IS_LATER = {
  ['order.refunded'] = true,
  ['credits.dispute'] = true,
  ['credits.take_back'] = true,
  ['manual.revoke'] = true,
  ['manual.adjust'] = true,
  ['credits.instalment'] = true,
}

-- Returns the subjects that are linked to a fact, by their links.
local function links_of(fact)
  local subjects = {}
  for link in string.gmatch(on_fact('HGET', fact, 'also') or '', '%S+') do
    subjects[link] = linked_by(link, fact)
  end
  return subjects
end

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

-- Undoes what a dismissal did to the claims of a delivery's fact: see dismiss.lua.
local function revive(id, type_, fact)
  if not IS_LATER[type_] then
    on_fact('HDEL', fact, 'dismissed')
    return
  end
  for _, subject in ipairs(later_claims_by(id, fact)) do
    if not release_instalment(fact, subject) then
      on_fact('HDEL', subject, 'dismissed')
    end
  end
end

-- Leases a delivery by its id, whatever its status, as if it had just arrived: the caller works on it itself. If a
-- person has named it, its fact is no longer dismissed. `replayed_by` says who wants it to run again; nil if nobody does.
-- Returns the row of a leased delivery (see lease.lua), or nil if the delivery or its body is unknown.
local function lease_by_id(id, due, delivery_prefix, body_prefix, status_prefix, lease_ms, is_named, replayed_by)
  local key, body = delivery_prefix .. id, redis.call('GET', body_prefix .. id)
  local type_, status, received_at, fact, attempts =
    unpack(redis.call('HMGET', key, 'type', 'status', 'received_at', 'subject', 'attempts'))
  if not type_ or not body then
    return nil
  end
  redis.call('HDEL', key, 'settled_at', 'dismissed', 'named')
  if is_named and fact and fact ~= '' then
    revive(id, type_, fact)
  elseif is_named then
    redis.call('HSET', key, 'named', '1') -- nobody has read it yet: claim.lua revives its fact
  end
  local now = clock()
  redis.call('ZREM', status_prefix .. status, id)
  -- The clock may have been ahead when it was received, and in this list that would count as a step of the clock.
  redis.call('ZADD', status_prefix .. 'waiting', text(math.min(received_at, now)), id)
  redis.call('ZADD', due, text(now + lease_ms), id)
  write_with_reason(key, { 'status', 'waiting', 'strikes', '0' }, '')
  redis.call('PERSIST', key)
  redis.call('PERSIST', body_prefix .. id)
  local number = (attempts or 0) + 1
  if replayed_by then
    note_attempt(key, 'replay:', number, text(now) .. ' ' .. replayed_by)
  end
  if tonumber(lease_ms) > 0 then
    note_attempt(key, 'leased:', number, text(now))
  else
    redis.call('HSET', key, 'attempts', number) -- a worker leases it with the next number
  end
  return { id, type_, body, '0', number }
end

-- Returns whether refunds or lost disputes were noted with an order, so that something may be taken back of it.
local function is_reversed(order)
  local refunded, disputed = unpack(on_fact('HMGET', order, 'refunded_amount', 'disputed'))
  return refunded or disputed
end

-- A delivery of our own that was settled and is due again lives anew.
local function forget_attempts(key)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.find(field, '^leased:') or string.find(field, '^replay:') then
      redis.call('HDEL', key, field)
    end
  end
end

-- Makes a delivery of our own due, whatever its status was. If a worker has it now, it may have looked at an older state
-- of the order: so that worker loses its lease.
local function queue_delivery(id, type_, body, due, delivery_prefix, body_prefix, status_prefix)
  local now, key, waiting = text(clock()), delivery_prefix .. id, status_prefix .. 'waiting'
  local status = redis.call('HGET', key, 'status')
  redis.call('SET', body_prefix .. id, body)
  if status and status ~= 'waiting' then
    redis.call('ZREM', status_prefix .. status, id)
    forget_attempts(key)
  end
  if status ~= 'waiting' then
    redis.call('ZADD', waiting, now, id)
    redis.call('HSET', key, 'received_at', now)
  end
  redis.call('ZADD', due, now, id)
  write_with_reason(key, { 'type', type_, 'status', 'waiting', 'strikes', '0' }, '')
  redis.call('HDEL', key, 'settled_at', 'dismissed', 'erased_at')
  redis.call('PERSIST', key)
  redis.call('HINCRBY', key, 'attempts', status and 1 or 0)
end

-- Makes it due to take back what an order's refunds and disputes take, as a delivery of its own: no take-back may reach
-- Polar before the grant that it takes from.
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

-- A grant whose request counted duplicates is unconfirmed, and a person is told if Polar has another amount of it. This
-- ends both.
local function end_doubt(subject, meter, unconfirmed, mismatches)
  local member = subject .. '\n' .. meter
  redis.call('ZREM', unconfirmed, member)
  redis.call('HDEL', mismatches, member)
  return on_fact('HDEL', subject, 'unconfirmed:' .. meter) == 1
end
