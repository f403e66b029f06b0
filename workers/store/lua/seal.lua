-- needs: audit_days, facts, sealed_bytes, short_names, tables
-- Moves the oldest entries of the audit trail into the trail of their day, and seals the facts that they name: each
-- becomes a few dozen bytes in a table (see sealed_bytes.lua). A fact of which something is open stays as it is, and so does
-- whatever would not be read back exactly. It is one step, so that a fact is at any time open or sealed.
-- Returns how many entries were moved.
local audit, customers, format = unpack(KEYS)
local most, age_ms, format_number = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

if redis.call('GET', format) ~= format_number then
  return 0 -- an older version may work on this ledger: it would not find what is sealed
end

-- Entries in a bucket, on average. It never has three times as many, far below the 512 (hash-max-listpack-entries) above
-- which a bucket takes several times the memory.
local LOAD = 48
local DIGITS, MOST_TEMPLATES = 24, 10000

local function number_bytes(number)
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

local function text_bytes(value)
  return number_bytes(#value) .. value
end

local function is_number(value)
  return value == '0' or (#value < 15 and string.find(value, '^[1-9]%d*$') ~= nil)
end

local function units_bytes(units)
  return is_number(units) and number_bytes(tonumber(units) * 2) or number_bytes(#units * 2 + 1) .. units
end

-- By what they encode: each returns the type of a value's slot in the template, with its text, and the value's bytes; or
-- nothing if the value is not such a one.
local encoders = {}

function encoders.any(value)
  return 's', text_bytes(value)
end

function encoders.id(value)
  local bytes = bytes_of_id(value)
  if bytes then
    return 'u', bytes
  end
end

function encoders.name(value)
  return 'n', text_bytes(short_name(value))
end

function encoders.first_time(value)
  if is_number(value) then
    return 'T', struct.pack('>I6', tonumber(value)), tonumber(value)
  end
end

function encoders.time(value, last)
  if is_number(value) then
    local since = tonumber(value) - last
    return 't', number_bytes(since < 0 and -since * 2 - 1 or since * 2), tonumber(value)
  end
end

function encoders.grant(value)
  if not string.find(value, '[#\t\n]') then
    local numbers = ''
    local pattern = string.gsub(value, '=([^: ]+)', function(units)
      numbers = numbers .. units_bytes(units)
      return '=#'
    end)
    return 'g' .. pattern, numbers
  end
end

function encoders.constant(value)
  if not string.find(value, '[\t\n]') then
    return '=' .. value, ''
  end
end

-- By field, or its part before a colon.
local ENCODER = {
  delivery = encoders.id, customer = encoders.id, order = encoders.id, subscription = encoders.id,
  product = encoders.id, before = encoders.name, claimed_at = encoders.first_time, settled = encoders.time,
  grant = encoders.grant, property = encoders.constant, place = encoders.constant, shown = encoders.constant,
}
-- While a fact has one of these, something about it is open.
local OPEN = { unconfirmed = true, dismissed = true, dispute = true, disputed = true }

-- Returns the lines of a fact's template and its bytes; nil if the fact has to stay open.
local function encode(fields)
  local lines, parts, last, pending = {}, {}, 0, 0
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    local colon = string.find(field, ':', 1, true)
    local kind = colon and string.sub(field, 1, colon - 1) or field
    if OPEN[kind] or string.find(field, '[\t\n]') then
      return nil
    end
    local type_, bytes, ms = (ENCODER[kind] or encoders.any)(value, last)
    if not type_ then
      type_, bytes = encoders.any(value)
    end
    pending = pending + (kind == 'grant' and 1 or kind == 'settled' and -1 or 0)
    lines[#lines + 1] = field .. '\t' .. type_
    parts[#parts + 1] = bytes
    last = ms or last
  end
  if pending == 0 then
    return table.concat(lines, '\n'), table.concat(parts)
  end
end

-- Returns nil if the template is new, and there are enough.
local numbers = {}
local function number_of(template_text)
  if not numbers[template_text] then
    local number = redis.call('HGET', TEMPLATES, template_text)
    if not number then
      if tonumber(redis.call('HGET', SEALED, 'templates') or 0) >= MOST_TEMPLATES then
        return nil
      end
      number = redis.call('HINCRBY', SEALED, 'templates', 1)
      redis.call('HSET', TEMPLATES, template_text, number, text(number), template_text)
    end
    numbers[template_text] = tonumber(number)
  end
  return numbers[template_text]
end

-- Splits the bucket whose turn it is: about half of its entries move into a new one.
local function split(tab)
  local buckets, size = buckets_of(tab), 1
  while size * 2 <= buckets do
    size = size * 2
  end
  local old, new = tab .. ':' .. text(buckets - size), tab .. ':' .. text(buckets)
  local entries, moved, names = redis.call('HGETALL', old), {}, {}
  for i = 1, #entries, 2 do
    if place_in(buckets + 1, string.sub(entries[i], -DIGITS)) == buckets then
      append(moved, entries[i], entries[i + 1])
      names[#names + 1] = entries[i]
    end
  end
  call_with('HSET', new, moved)
  sizes[tab] = buckets + 1
  redis.call('HSET', SEALED, tab, sizes[tab])
  call_with('HDEL', old, names)
end

local function write_entry(tab, name, value)
  if not buckets_of(tab) then
    sizes[tab] = 1
    redis.call('HSET', SEALED, tab, 1)
  end
  local field, fields = digest(name), {}
  for number = 0, math.floor(#value / PIECE) do
    append(fields, piece_of(field, number), string.sub(value, number * PIECE + 1, (number + 1) * PIECE))
  end
  local added = redis.call('HSET', bucket_of(tab, field), unpack(fields))
  if added > 0 and redis.call('HINCRBY', SEALED, tab .. ':entries', added) > buckets_of(tab) * LOAD then
    split(tab)
  end
end

local function is_equal(fields, others)
  for i = 1, math.max(#fields, #others) do
    if fields[i] ~= others[i] then
      return false
    end
  end
  return true
end

local LONGEST = 16 * PIECE

local function seal(subject)
  local fields = redis.call('HGETALL', subject)
  if not value_of('delivery', fields) or redis.call('PTTL', subject) ~= -1 or read_entry(FACTS, subject) then
    return
  end
  local lines, bytes = encode(fields)
  local number = lines and #bytes <= LONGEST and number_of(lines)
  if not number then
    return
  end
  local value = number_bytes(number) .. bytes
  if is_equal(decode(value), fields) then
    write_entry(FACTS, subject, value)
    redis.call('DEL', subject)
  end
end

-- The hash `customers` names the newest fact only of customers with open ones. The others are in a table.
local function file_customer(subject)
  local customer, name = redis.call('HGET', subject, 'customer'), string.sub(subject, #'credits:' + 1)
  if not customer or redis.call('HGET', customers, customer) ~= name then
    return
  end
  local short = short_name(name)
  if #short < PIECE then
    write_entry(CUSTOMERS, customer, short)
    redis.call('HDEL', customers, customer)
  end
end

-- Returns how many grants a fact has.
local function count_grants(fact)
  local count = 0
  for _, field in ipairs(on_fact('HKEYS', fact)) do
    count = string.sub(field, 1, #'grant:') == 'grant:' and count + 1 or count
  end
  return count
end

local function name_of(subject)
  return short_name(string.sub(subject, #'credits:' + 1))
end

-- An entry in the trail of a day leaves out the meter where its fact has only one.
local function file_entry(id, subject, meter)
  local day = day_of(id)
  local key, fields = AUDIT_DAY .. text(day), { 'f', name_of(subject) }
  local is_readable, grants = pcall(count_grants, subject)
  if not is_readable or grants ~= 1 then
    append(fields, 'm', meter)
  end
  -- An id is refused if it is filed already, because this script failed before it came to its end; else only if somebody
  -- has deleted the audit trail, and the clock was set back since.
  if redis.pcall('XADD', key, id, unpack(fields)).err and #redis.call('XRANGE', key, id, id) == 0 then
    redis.call('XADD', key, '*', unpack(fields))
  end
  local first = tonumber(redis.call('HGET', SEALED, 'first_day') or nil)
  if not first or day < first then
    redis.call('HSET', SEALED, 'first_day', day)
  end
end

local function order_of(subject)
  local kind, id = string.match(subject, '^credits:(%l+):([^:]+)')
  local is_part = kind == 'instalment' or kind == 'refund' or kind == 'revoke' or kind == 'adjust'
  local order = is_part and id or redis.call('HGET', subject, 'order')
  return order and 'credits:order:' .. order
end

local function seal_all_of(subject)
  local order = order_of(subject)
  for _, fact in ipairs(order and { subject, order } or { subject }) do -- a take-back or an instalment had opened the order
    file_customer(fact)
    seal(fact)
  end
end

local newest = redis.call('XREVRANGE', audit, '+', '-', 'COUNT', 1)[1]
local entries = redis.call('XRANGE', audit, '-', text(clock() - age_ms), 'COUNT', most)
if #entries > 0 and entries[#entries][1] == newest[1] then
  entries[#entries] = nil -- workers remember the newest entry (see watch_audit.lua)
end
for _, entry in ipairs(entries) do
  local subject, meter = entry[2][2], entry[2][4]
  file_entry(entry[1], subject, meter)
  pcall(seal_all_of, subject) -- a fact that cannot be read, because somebody has edited it, keeps no other from its turn
end
if #entries > 0 then
  local ms, number = string.match(entries[#entries][1], '^(%d+)-(%d+)$')
  redis.call('XTRIM', audit, 'MINID', '=', ms .. '-' .. text(number + 1))
  redis.call('HSET', SEALED, 'audited_to', entries[#entries][1])
  redis.call('HINCRBY', SEALED, 'audited', #entries)
end
return #entries
