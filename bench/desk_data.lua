-- Copies a settled order many times, each time with ids of its own: its delivery and body, and what the ledger has of it.
-- What a copy consists of is read from the pattern, so that it is what the service itself has written.
--
-- KEYS: the pattern's delivery, body and order; the list of deliveries, the hash of customers and the audit trail
-- ARGV: the prefixes of deliveries and bodies, the number of the first copy and how many are made; how many of the first
--       copies are one customer's, how many each other customer has; when the first was received, how far they are apart
--       (ms), how long they are kept (s); 1 if they failed: the ledger has nothing of those
local delivery, body, order, list, customers, audit = unpack(KEYS)
local delivery_prefix, body_prefix = ARGV[1], ARGV[2]
local first, count, crowd, each, begun_ms, apart_ms, kept_s = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]),
  tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local have_failed = ARGV[10] == '1'

local function uuid(kind, number)
  return string.format('%08x-0000-4000-800%d-%012x', number, kind, number)
end

local function is_time(name)
  return string.match(name, '_at$') or string.match(name, '^settled:') or string.match(name, '^leased:')
end

-- Returns the pattern's fields with some values replaced; those with times get the time `at`.
local function filled(fields, at, values)
  local copy = {}
  for i = 1, #fields, 2 do
    copy[i], copy[i + 1] = fields[i], values[fields[i]] or (is_time(fields[i]) and at) or fields[i + 1]
  end
  return copy
end

local delivery_fields, order_fields = redis.call('HGETALL', delivery), redis.call('HGETALL', order)
local stored_body = redis.call('GET', body)
for number = first, first + count - 1 do
  local id, order_id = (have_failed and 'failed-' or 'bench-') .. number, uuid(1, number)
  local customer = uuid(2, number <= crowd and 0 or math.floor(number / each) + 1)
  local at = string.format('%.0f', begun_ms + number * apart_ms)
  local status = have_failed and 'failed' or 'granted'
  redis.call('SET', body_prefix .. id, stored_body)
  redis.call('ZADD', list, at, id)
  redis.call('HSET', delivery_prefix .. id, unpack(filled(delivery_fields, at, {
    subject = 'credits:order:' .. order_id, customer_id = customer, status = status,
  })))
  if not have_failed then
    redis.call('EXPIRE', delivery_prefix .. id, kept_s)
    redis.call('EXPIRE', body_prefix .. id, kept_s)
    local fields = filled(order_fields, at, { customer = customer, delivery = id })
    local before = redis.call('HGET', customers, customer)
    if before then
      fields[#fields + 1], fields[#fields + 2] = 'before', before
    end
    redis.call('HSET', 'credits:order:' .. order_id, unpack(fields))
    redis.call('HSET', customers, customer, 'order:' .. order_id)
    redis.call('XADD', audit, '*', 'subject', 'credits:order:' .. order_id, 'meter', 'api_usage')
  end
end
