-- Counts what a settlement gives and takes, and how long it was waited for.

-- By meter and field of the claim: how many such grants were settled just now, and the units of each.
local given = {}

local function note_given(meter, field, units)
  given[meter] = given[meter] or {}
  local same = given[meter][field] or { times = 0, units = units }
  given[meter][field], same.times = same, same.times + 1
end

local function count_given()
  for meter, fields in pairs(given) do
    for _, same in pairs(fields) do
      count('grants', meter, same.times)
      if same.units > 0 then
        count('granted_units', meter, same.units * same.times)
      else
        count('taken_back_units', meter, -same.units * same.times)
      end
    end
  end
end

-- How many deliveries waited for up to each bound, and longer than the one before; and how long all of them together.
local waits, waited_ms = {}, nil

-- Returns the bounds, which are texts with seconds, in milliseconds; the last one is +Inf.
local function in_ms(bounds)
  local bounds_ms = {}
  for i, bound in ipairs(bounds) do
    bounds_ms[i] = i < #bounds and bound * 1000 or math.huge
  end
  return bounds_ms
end

local function note_wait(ms, bounds_ms)
  ms = math.max(0, ms) -- the clock of Redis may have been set back meanwhile
  local i = 1
  while ms > bounds_ms[i] do
    i = i + 1
  end
  waits[i], waited_ms = (waits[i] or 0) + 1, (waited_ms or 0) + ms
end

local function count_waits(bounds)
  for i, times in pairs(waits) do
    count('delivery_to_credit_seconds', bounds[i], times)
  end
  if waited_ms then
    count('delivery_to_credit_seconds_sum', nil, waited_ms / 1000)
  end
end

-- Counts what only the charts of days show: the credits of each rule (a field of a claim is `rule=credits:policies`, and
-- the next rule after a space), and how long our share of Polar's rate limit needs at most until it is whole again.
local function count_for_charts(day, budget)
  for meter, fields in pairs(given) do
    for field, same in pairs(fields) do
      for rule, units in string.gmatch(field, '([^%s=]+)=([%d.]+)') do
        count('given_by_rule', rule .. ' ' .. meter, units * same.times)
      end
    end
  end
  local most_ms = tonumber(redis.call('HGET', day, 'most_used_ms') or 0)
  count('most_used_ms', nil, math.max(0, redis.call('PTTL', budget) - most_ms))
end
