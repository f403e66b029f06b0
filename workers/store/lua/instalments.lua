-- Finds the later instalments of an order, of which no list is kept, and the order that begins those of a subscription.

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
