-- Write down again what Polar tells of: all of a fact at once, unless somebody has claimed it meanwhile.
-- KEYS: customers, restored
-- ARGV: the delivery that all of it is written down for,
--       JSON [[delivery that claimed the fact or '', a plan as claim.lua has it,
--              takings as take_back.lua has them, [[subject, claimed at, [[meter, settled at], ...]], ...]], ...]
-- Returns for each 1, or 0 where something has changed since it was worked out.
local function is_free(subject)
  local delivery = redis.call('HGET', subject, 'delivery')
  return not delivery or delivery == ARGV[1]
end

local function list(fact, customer)
  local before = redis.call('HGET', KEYS[1], customer)
  if before then
    redis.call('HSET', fact, 'before', before)
  end
  redis.call('HSET', KEYS[1], customer, string.sub(fact, #'credits:' + 1))
end

-- Returns 1, or 0 where something of it was claimed meanwhile.
local function freeze(fact, base, claims)
  local is_new, written = redis.call('HEXISTS', fact, 'delivery') == 0, 0
  for _, claim in ipairs(claims) do
    local subject, fields = unpack(claim)
    if is_free(subject) then
      write(subject, fields)
      written = written + 1
      if subject ~= fact then
        hang(fact, subject)
      end
    end
  end
  if is_new and written > 0 then
    write(fact, base)
    list(fact, redis.call('HGET', fact, 'customer'))
  end
  return written == #claims and 1 or 0
end

local function take_back(taking)
  local order, changes, subject, fields = unpack(taking)
  if not is_free(subject) or not is_as_worked_out(order, changes) then
    return false
  end
  write(subject, fields)
  note_taken(order, changes)
  hang(order, subject)
  return true
end

local function settle(subject, claimed_at, meters)
  if redis.call('HGET', subject, 'delivery') ~= ARGV[1] then
    return
  end
  redis.call('HSETNX', subject, 'claimed_at', claimed_at)
  for _, settled in ipairs(meters) do
    local meter, at = unpack(settled)
    if redis.call('HEXISTS', subject, 'grant:' .. meter) == 1
      and redis.call('HSETNX', subject, 'settled:' .. meter, at) == 1 then
      redis.call('ZADD', KEYS[2], at, subject .. '\n' .. meter)
    end
  end
end

local function restore(claimed_by, plan, takings, times)
  local fact, _, _, base, claims = unpack(plan)
  if (redis.call('HGET', fact, 'delivery') or '') ~= claimed_by then
    return 0
  end
  local is_whole = freeze(fact, base, claims)
  for _, taking in ipairs(takings) do
    is_whole = take_back(taking) and is_whole or 0
  end
  for _, time in ipairs(times) do
    settle(unpack(time))
  end
  return is_whole
end

local done = {}
for i, item in ipairs(cjson.decode(ARGV[2])) do
  done[i] = restore(unpack(item))
end
return done
