-- needs: audit_days, facts, short_names, tables
-- Copies a sealed order many times, each time with ids of its own: the fact, its customer's newest fact, its entry in the
-- audit trail, and for the newest ones their deliveries. What a copy consists of is read from the pattern, so that it is
-- what the service itself has written. The tables have their final number of buckets, so that none needs to be split.
--
-- KEYS: the pattern's delivery and body, the list of deliveries
-- ARGV: the prefixes of deliveries and bodies; the number of the first copy and how many are made; how many of the first
--       copies are one customer's, how many each other customer has; when the first was settled, how far they are apart
--       (ms); the first that has a delivery, and how long that is kept (s); of how many parts a customer's first fact
--       consists, these parts, and those of a fact that follows another: bytes, and by turns the name of what is between
local delivery, body, list = unpack(KEYS)
local delivery_prefix, body_prefix = ARGV[1], ARGV[2]
local first, count, crowd, each = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local begun_ms, apart_ms = tonumber(ARGV[7]), tonumber(ARGV[8])
local first_kept, kept_s = tonumber(ARGV[9]), tonumber(ARGV[10])
local parts = tonumber(ARGV[11])
local opening, following = { unpack(ARGV, 12, 11 + parts) }, { unpack(ARGV, 12 + parts) }
local ORDER, CUSTOMER, DELIVERY = 1, 2, 3

local function uuid(kind, number)
  return string.format('%08x-0000-4000-800%d-%012x', number, kind, number)
end

local function id_bytes(kind, number)
  return struct.pack('>I4I2I2I2I6', number, 0, 0x4000, 0x8000 + kind, number)
end

local function write_copy(tab, name, value)
  local field = digest(name)
  local bucket = bucket_of(tab, field)
  for number = 0, math.floor(#value / PIECE) do
    local piece = string.sub(value, number * PIECE + 1, (number + 1) * PIECE)
    redis.call('HSET', bucket, piece_of(field, number), piece)
  end
end

local function filled(pattern, values)
  local parts = {}
  for i, part in ipairs(pattern) do
    parts[i] = i % 2 == 1 and part or values[part]
  end
  return table.concat(parts)
end

-- Returns the first and the last number of the customer who has this one.
local function numbers_of(number)
  if number <= crowd then
    return 1, crowd
  end
  local before = crowd + math.floor((number - crowd - 1) / each) * each
  return before + 1, before + each
end

local function is_time(name)
  return string.match(name, '_at$') or string.match(name, '^leased:')
end

local delivery_fields, stored_body = redis.call('HGETALL', delivery), redis.call('GET', body)
local function keep_delivery(id, at, order_id, customer)
  local values = { subject = 'credits:order:' .. order_id, customer_id = customer, order_id = order_id }
  local fields = {}
  for i = 1, #delivery_fields, 2 do
    local name, value = delivery_fields[i], delivery_fields[i + 1]
    append(fields, name, values[name] or (is_time(name) and at) or value)
  end
  redis.call('SET', body_prefix .. id, stored_body, 'EX', kept_s)
  redis.call('HSET', delivery_prefix .. id, unpack(fields))
  redis.call('EXPIRE', delivery_prefix .. id, kept_s)
  redis.call('ZADD', list, at, id)
end

for number = first, first + count - 1 do
  local order_id, order_bytes = uuid(ORDER, number), id_bytes(ORDER, number)
  local oldest, newest = numbers_of(number)
  local ms = math.floor(begun_ms + number * apart_ms)
  write_copy(FACTS, 'credits:order:' .. order_id, filled(number == oldest and opening or following, {
    customer = id_bytes(CUSTOMER, oldest), delivery = id_bytes(DELIVERY, number), claimed_at = struct.pack('>I6', ms),
    before = id_bytes(ORDER, number - 1),
  }))
  if number == newest then
    write_copy(CUSTOMERS, uuid(CUSTOMER, oldest), LETTERS.order .. order_bytes)
  end
  redis.call('XADD', AUDIT_DAY .. text(math.floor(ms / DAY_MS)), text(ms), 'f', LETTERS.order .. order_bytes)
  if number >= first_kept then
    keep_delivery(uuid(DELIVERY, number), text(ms), order_id, uuid(CUSTOMER, oldest))
  end
end
