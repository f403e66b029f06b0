-- How scripts read and write the facts of the ledger. A fact is open, a hash under its subject, or sealed: a few dozen
-- bytes in a bucket with other facts (see seal.lua). on_fact hides the difference. A fact is never both.
--
-- A sealed fact is found by 24 digits of its subject's SHA-1: those of two among a hundred million facts are equal once in
-- 10^13 ledgers. Its bytes begin with the number of a template, which lists the fields and how each value is written. So
-- what facts have in common is stored once.
-- A template's lines are `<field>\t<type><text>`; the types are:
--   u  a UUID, 16 bytes     T  a time in ms, 6 bytes     t  the same, as the difference to the time before it
--   n  a short name         g  what rules give: in the line's text, each # stands for a number
--   s  any text             =  the line's text itself
local FACTS, CUSTOMERS, TEMPLATES = 'credits:facts', 'credits:newest', 'credits:templates'
local AUDIT_DAY = 'credits:audit:' -- streams, one for each day (the number of days since 1970 follows)
local SEALED = 'credits:sealed' -- a hash: how many buckets and entries each table has (see bucket_of), and more
local PIECE = 64 -- a bucket with a longer value would take several times the memory

local LETTERS = {
  order = 'o', instalment = 'i', refund = 'r', cycle = 'c', subscription = 's', customer = 'u', adjust = 'a',
  revoke = 'v', dispute = 'd',
}
local KINDS = {}
for kind, letter in pairs(LETTERS) do
  KINDS[letter] = kind
end

-- Returns the 16 bytes of a UUID, or nil for any other text.
local function bytes_of_id(id)
  local a, b, c, d, e = string.match(id, '^([0-9a-f]+)%-([0-9a-f]+)%-([0-9a-f]+)%-([0-9a-f]+)%-([0-9a-f]+)$')
  if a and #id == 36 and #a == 8 and #b == 4 and #c == 4 and #d == 4 then
    return struct.pack(
      '>I4I2I2I2I6', tonumber(a, 16), tonumber(b, 16), tonumber(c, 16), tonumber(d, 16), tonumber(e, 16)
    )
  end
end

local function id_of_bytes(bytes)
  return string.format('%08x-%04x-%04x-%04x-%012x', struct.unpack('>I4I2I2I2I6', bytes))
end

-- The short name of `order:<UUID>`, or of another subject without its `credits:`, has a letter for the kind and 16 bytes
-- for the UUID. Any other text follows a `=`.
local function short_name(name)
  local colon = string.find(name, ':', 1, true) or 0
  local letter = LETTERS[string.sub(name, 1, colon - 1)]
  local bytes = letter and bytes_of_id(string.sub(name, colon + 1, colon + 36))
  return bytes and letter .. bytes .. string.sub(name, colon + 37) or '=' .. name
end

local function long_name(short)
  local kind = KINDS[string.sub(short, 1, 1)]
  return kind and kind .. ':' .. id_of_bytes(string.sub(short, 2, 17)) .. string.sub(short, 18) or string.sub(short, 2)
end

-- A table is a hash that is spread over buckets, so that no key grows without bound. It grows by linear hashing: bucket
-- after bucket is split in two (see seal.lua). Returns false if the table is empty.
local sizes = {}
local function buckets_of(tab)
  if sizes[tab] == nil then
    sizes[tab] = tonumber(redis.call('HGET', SEALED, tab) or nil) or false
  end
  return sizes[tab]
end

-- Returns the smallest power of two that is not less than the number of buckets.
local doubles = {}
local function double_of(buckets)
  if not doubles[buckets] then
    local double = 1
    while double < buckets do
      double = double * 2
    end
    doubles[buckets] = double
  end
  return doubles[buckets]
end

-- Returns the field of an entry.
local function digest(name)
  return string.sub(redis.sha1hex(name), 1, 24)
end

-- Returns the number of the bucket that a field is in when there are so many.
local function place_in(buckets, field)
  local double = double_of(buckets)
  local place = tonumber(string.sub(field, 1, 8), 16) % double
  return place < buckets and place or place - double / 2
end

local function bucket_of(tab, field)
  return tab .. ':' .. place_in(buckets_of(tab), field)
end

-- A long value is cut into pieces. The fields of further pieces begin with their number.
local function piece_of(field, number)
  return number == 0 and field or string.char(number) .. field
end

-- Returns the value of an entry and how many pieces it has; nil or false if there is none. Each claim asks twice: so it
-- does itself what digest and bucket_of do.
local function read_entry(tab, name)
  local buckets = buckets_of(tab)
  if not buckets then
    return nil
  end
  local hash = redis.sha1hex(name)
  local double = doubles[buckets] or double_of(buckets)
  local place = tonumber(string.sub(hash, 1, 8), 16) % double
  local bucket, field = tab .. ':' .. (place < buckets and place or place - double / 2), string.sub(hash, 1, 24)
  local value = redis.call('HGET', bucket, field)
  local pieces, last = 1, value
  while last and #last == PIECE do
    last = redis.call('HGET', bucket, piece_of(field, pieces))
    value, pieces = value .. last, pieces + 1
  end
  return value, pieces
end

local function read_number(bytes, at)
  local number, scale, byte = 0, 1, nil
  repeat
    byte = string.byte(bytes, at)
    number, scale, at = number + byte % 128 * scale, scale * 128, at + 1
  until byte < 128
  return number, at
end

local function read_text(bytes, at)
  local length, begin = read_number(bytes, at)
  return string.sub(bytes, begin, begin + length - 1), begin + length
end

-- By type of a slot: each returns the value that begins at a place in the bytes, and where it ends.
local decoders = { s = read_text }

function decoders.u(bytes, at)
  return id_of_bytes(string.sub(bytes, at, at + 15)), at + 16
end

function decoders.T(bytes, at)
  local ms = struct.unpack('>I6', string.sub(bytes, at, at + 5))
  return text(ms), at + 6, ms
end

function decoders.t(bytes, at, slot, time)
  local number, next_ = read_number(bytes, at)
  local ms = time + (number % 2 == 0 and number / 2 or -(number + 1) / 2)
  return text(ms), next_, ms
end

function decoders.n(bytes, at)
  local short, next_ = read_text(bytes, at)
  return long_name(short), next_
end

function decoders.g(bytes, at, slot)
  local next_, number = at, nil
  local value = string.gsub(slot.text, '#', function()
    number, next_ = read_number(bytes, next_)
    if number % 2 == 0 then
      return text(number / 2)
    end
    next_ = next_ + (number - 1) / 2
    return string.sub(bytes, next_ - (number - 1) / 2, next_ - 1)
  end)
  return value, next_
end

decoders['='] = function(bytes, at, slot)
  return slot.text, at
end

local templates = {}
local function template(number)
  if not templates[number] then
    local slots = {}
    for field, type_, rest in string.gmatch(redis.call('HGET', TEMPLATES, text(number)) .. '\n', '([^\t]*)\t(.)([^\n]*)\n') do
      slots[#slots + 1] = { field = field, decode = decoders[type_], text = rest }
    end
    templates[number] = slots
  end
  return templates[number]
end

-- Returns the fields of a sealed fact from its bytes.
local function decode(bytes)
  local number, at = read_number(bytes, 1)
  local fields, time, ms = {}, 0, nil
  for i, slot in ipairs(template(number)) do
    fields[2 * i - 1] = slot.field
    fields[2 * i], at, ms = slot.decode(bytes, at, slot, time)
    time = ms or time
  end
  return fields
end

local function name_of(subject)
  return short_name(string.sub(subject, #'credits:' + 1))
end

local function remove_entry(tab, name, pieces)
  local field = digest(name)
  for number = 0, pieces - 1 do
    redis.call('HDEL', bucket_of(tab, field), piece_of(field, number))
  end
  redis.call('HINCRBY', SEALED, tab .. ':entries', -pieces)
end

local function unseal(subject, fields)
  local _, pieces = read_entry(FACTS, subject)
  call_with('HSET', subject, fields)
  remove_entry(FACTS, subject, pieces)
end

local function found_or_false(fields, field)
  return value_of(field, fields) or false
end

-- What a command returns that leaves a sealed fact as it is; nil if it changes the fact.
local READ_SEALED = {
  EXISTS = function() return 1 end,
  PERSIST = function() return 0 end, -- it never expires
  HGETALL = function(fields) return { unpack(fields) } end, -- callers may add to it
  HGET = found_or_false,
  HEXISTS = function(fields, field) return value_of(field, fields) and 1 or 0 end,
  HSETNX = function(fields, field) return value_of(field, fields) and 0 end,
}

function READ_SEALED.HMGET(fields, ...)
  local values = {}
  for i, field in ipairs({ ... }) do
    values[i] = found_or_false(fields, field)
  end
  return values
end

function READ_SEALED.HKEYS(fields)
  local names = {}
  for i = 1, #fields, 2 do
    names[#names + 1] = fields[i]
  end
  return names
end

function READ_SEALED.HDEL(fields, ...)
  for _, field in ipairs({ ... }) do
    if value_of(field, fields) then
      return nil
    end
  end
  return 0
end

-- Whether an answer shows that the fact is open. Then nothing else needs to be asked.
local SHOWS_OPEN = {
  HGET = function(found) return found end,
  HMGET = function(found) return found[1] end,
  HGETALL = function(found) return #found > 0 end,
}

-- By subject: the fields of a sealed fact, or false if it is open or unknown.
local known = {}

local function sealed_fields(subject, is_no_hash)
  if known[subject] == nil then
    local may_be_sealed = buckets_of(FACTS) and (is_no_hash or redis.call('EXISTS', subject) == 0)
    local bytes = may_be_sealed and read_entry(FACTS, subject)
    known[subject] = bytes and decode(bytes) or false
  end
  return known[subject]
end

local function open(subject)
  if sealed_fields(subject) then
    unseal(subject, known[subject])
    known[subject] = false
  end
end

-- Runs a command on a fact. A sealed one is read as it is, and opened if the command changes it.
local function on_fact(command, subject, ...)
  if known[subject] == false then
    return redis.call(command, subject, ...)
  end
  local shows_open = SHOWS_OPEN[command]
  if known[subject] == nil and shows_open then
    local found = redis.call(command, subject, ...)
    if shows_open(found) or not sealed_fields(subject, command == 'HGETALL') then
      known[subject] = false
      return found
    end
  end
  local fields = sealed_fields(subject)
  local read = fields and READ_SEALED[command]
  local found = read and read(fields, ...)
  if fields and found ~= nil then
    return found
  end
  open(subject)
  return redis.call(command, subject, ...)
end

local function write_fact(subject, fields)
  if known[subject] ~= false then
    open(subject)
  end
  write(subject, fields)
end

-- Returns the newest fact of a customer none of whose facts are newer and open.
local function newest_sealed(customer)
  local short = read_entry(CUSTOMERS, customer)
  return short and long_name(short)
end
