-- Functions that every script may use: the clock, fields, reasons, counts, names. load_script puts this file before each
-- script, and behind it those that the script's first line names.

-- Lua finds a local name faster than a global one, and Redis runs these hundreds of thousands of times a minute.
local redis, string, math = redis, string, math
local unpack, ipairs, tonumber = unpack, ipairs, tonumber

-- Returns the milliseconds since the epoch, by the clock of Redis.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Returns a number of milliseconds as text. Lua's own conversion would write 1.7e12.
local function text(number)
  return string.format('%.0f', number)
end

-- Runs a command with any number of arguments. Lua can pass only a few thousand at once.
local function call_with(command, key, args)
  if #args <= 1000 then
    if #args > 0 then
      redis.call(command, key, unpack(args))
    end
    return
  end
  for i = 1, #args, 1000 do
    redis.call(command, key, unpack(args, i, math.min(i + 999, #args)))
  end
end

-- Notes the format of what is stored, unless it is noted (see workers/store/format.py).
local function note_format(key, format)
  redis.call('SET', key, format, 'NX')
end

-- In all scripts, `fields` is a list as HSET takes it: name, value, name, value, ...
local function write(key, fields)
  call_with('HSET', key, fields)
end

local function append(fields, name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

local function value_of(name, fields)
  for i = 1, #fields, 2 do
    if fields[i] == name then
      return fields[i + 1]
    end
  end
end

-- A hash with a value of more than 64 bytes takes several times the memory. So a long reason is cut into pieces:
-- `reason`, `reason:2`, `reason:3`, ... Returns the number of pieces.
local function append_reason(fields, reason)
  local pieces = math.ceil(#reason / 64)
  for i = 1, pieces do
    append(fields, i == 1 and 'reason' or 'reason:' .. i, string.sub(reason, 64 * i - 63, 64 * i))
  end
  return pieces
end

-- Replaces the reason in a hash, and deletes the pieces left over from a longer one.
local function write_with_reason(key, fields, reason)
  local pieces = append_reason(fields, reason)
  write(key, fields)
  while redis.call('HDEL', key, pieces == 0 and 'reason' or 'reason:' .. pieces + 1) == 1 do
    pieces = pieces + 1
  end
end

-- Notes something about one attempt of a delivery: `leased:<number>`, when its lease began, or `replay:<number>`, when and
-- by whom it was wanted. Those of the newest ten attempts are kept.
local MOST_ATTEMPTS_KEPT = 10

local function note_attempt(key, kind, number, value)
  local digits = number == 1 and '1' or text(number) -- most attempts are the first, and Lua is slow to write numbers
  redis.call('HSET', key, 'attempts', digits, kind .. digits, value)
  if number > MOST_ATTEMPTS_KEPT then
    local oldest = number - MOST_ATTEMPTS_KEPT
    redis.call('HDEL', key, 'leased:' .. oldest, 'replay:' .. oldest)
  end
end

-- What this script has counted so far. Each key is a field of the hash of counts: a name from workers/store/counts.py,
-- followed by its labels.
local counted = {}

local function add_to_count(field, by)
  counted[field] = (counted[field] or 0) + by
end

local function count(name, labels, by)
  add_to_count(labels and name .. ' ' .. labels or name, by or 1)
end

-- Writes each count with one command, however many deliveries it covers. Amounts have at most nine decimal places.
local function write_counts(key)
  for field, by in pairs(counted) do
    redis.call('HINCRBYFLOAT', key, field, string.format('%.9f', by))
  end
end

-- A meter's name may have spaces, and some lists are separated by them: there it is escaped as in URLs.
local function escaped(name)
  return (string.gsub(name, '[%s%%]', function(char)
    return string.format('%%%02X', string.byte(char))
  end))
end

local function unescaped(name)
  return (string.gsub(name, '%%(%x%x)', function(code)
    return string.char(tonumber(code, 16))
  end))
end
