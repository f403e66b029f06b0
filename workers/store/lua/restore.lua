-- needs: chain, changes, facts, instalments, links, places
-- Writes the facts that `credits rebuild` has read from Polar back into the ledger. All of a fact is written in one
-- step, so that a worker that claims it meanwhile is noticed: no claim of another delivery is overwritten.
--
-- restorations: {claimed_by, plan, taken_back, settled}; `claimed_by` is the delivery that had claimed the fact when it
--   was read, or ''; `plan` as in claim.lua; `taken_back` as in take_back.lua; `settled` lists
--   {subject, claimed_at, meters = {{meter, at}}}, when Polar took each grant (ms).
-- Returns for each 1 if all of it was written, or 0 where something has changed since it was read.
local customers, restored, format = unpack(KEYS)
local rebuild_delivery, format_number, restorations = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local offered_prefix = ARGV[4]

local function is_free(subject)
  local delivery = on_fact('HGET', subject, 'delivery')
  return not delivery or delivery == rebuild_delivery
end

local function append_to_customer(fact)
  local customer = on_fact('HGET', fact, 'customer')
  local before = newest_fact(customers, customer)
  if before then
    on_fact('HSET', fact, 'before', before)
  end
  set_newest_fact(customers, customer, fact)
end

-- An order finds its later instalments by their number, not by links.
local function note_begun(order, subject)
  local number, meter = string.match(subject, '^credits:instalment:[^:]+:(%d+):(.*)$')
  local field = 'begun:' .. meter
  if tonumber(number) > tonumber(on_fact('HGET', order, field) or 1) then
    on_fact('HSET', order, field, number)
  end
end

-- Returns whether all claims of the plan were written.
local function freeze(plan)
  local fact, written = plan.subject, 0
  local is_new = on_fact('HEXISTS', fact, 'delivery') == 0
  local is_chained = on_fact('HEXISTS', fact, 'customer') == 1 -- its claim was released: see dismiss.lua
  local claims = plan.claims or {}
  if plan.own then
    table.insert(claims, 1, { subject = fact, fields = plan.own })
  end
  for _, claim in ipairs(claims) do
    if is_free(claim.subject) then
      write_fact(claim.subject, claim.fields)
      restore_place(claim.subject, offered_prefix .. value_of('customer', claim.fields))
      written = written + 1
      if string.match(claim.subject, '^credits:instalment:') then
        note_begun(fact, claim.subject)
      elseif claim.subject ~= fact then
        add_link(fact, claim.subject)
      elseif plan.period then
        begin_chain(plan.chain)
        write_fact(fact, plan.period)
      end
    end
  end
  if is_new and written > 0 then
    if plan.base then
      write_fact(fact, plan.base)
    end
    on_fact('PERSIST', fact) -- it may have held only the note of a refund
    if not is_chained then
      append_to_customer(fact)
    end
  end
  return written == #claims
end

local function take_back(one)
  if not is_free(one.subject) or not is_unchanged(one.order, one.changes) then
    return false
  end
  write_fact(one.subject, one.fields)
  write_changes(one.order, one.changes)
  add_link(one.order, one.subject)
  return true
end

local function settle(one)
  if on_fact('HGET', one.subject, 'delivery') ~= rebuild_delivery then
    return
  end
  on_fact('HSETNX', one.subject, 'claimed_at', one.claimed_at)
  for _, settled in ipairs(one.meters) do
    local meter, at = settled.meter, settled.at
    if on_fact('HEXISTS', one.subject, 'grant:' .. meter) == 1
      and on_fact('HSETNX', one.subject, 'settled:' .. meter, at) == 1 then
      redis.call('ZADD', restored, at, one.subject .. '\n' .. meter)
    end
  end
end

local function restore(one)
  if (on_fact('HGET', one.plan.subject, 'delivery') or '') ~= one.claimed_by then
    return 0
  end
  local is_complete = freeze(one.plan)
  for _, taken in ipairs(one.taken_back) do
    is_complete = take_back(taken) and is_complete
  end
  for _, settled in ipairs(one.settled) do
    settle(settled)
  end
  return is_complete and 1 or 0
end

if #restorations > 0 then
  note_format(format, format_number)
end
local done = {}
for i, one in ipairs(restorations) do
  done[i] = restore(one)
end
return done
