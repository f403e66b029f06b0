-- Finds the entries of tables. A table is a hash that is spread over buckets, so that no key grows without bound. It grows
-- by linear hashing: bucket after bucket is split in two (see seal.lua). An entry is found by 24 digits of its name's
-- SHA-1: those of two among a hundred million names are equal once in 10^13 ledgers.
local SEALED = 'credits:sealed' -- a hash: how many buckets and entries each table has (see bucket_of), and more
local PIECE = 64 -- a bucket with a longer value would take several times the memory

-- Returns how many buckets a table has, or false if it is empty.
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

local function remove_entry(tab, name, pieces)
  local field = digest(name)
  for number = 0, pieces - 1 do
    redis.call('HDEL', bucket_of(tab, field), piece_of(field, number))
  end
  redis.call('HINCRBY', SEALED, tab .. ':entries', -pieces)
end
