-- needs: sealed_bytes, short_names, tables
-- Reads and writes the facts of the ledger. A fact is open, a hash under its subject, or sealed: a few dozen bytes in a
-- table (see seal.lua). on_fact hides the difference. A fact is never both.
local FACTS, CUSTOMERS = 'credits:facts', 'credits:newest'

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

-- Facts that had no hash when note_absent asked; they may be sealed.
local absent = {}

-- Asks with one command whether many facts have a hash. This saves commands if none has one, as in most claims. For a
-- single fact it saves nothing.
local function note_absent(subjects)
  for i = 1, #subjects > 1 and #subjects or 0, 1000 do
    local last = math.min(i + 999, #subjects)
    if redis.call('EXISTS', unpack(subjects, i, last)) == 0 then
      for j = i, last do
        absent[subjects[j]] = true
      end
    end
  end
end

-- Runs a command on a fact. A sealed one is read as it is, and opened if the command changes it.
local function on_fact(command, subject, ...)
  if absent[subject] then
    if command == 'HGETALL' and not sealed_fields(subject, true) then
      return {}
    end
    absent[subject] = nil
  end
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
  absent[subject] = nil
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
