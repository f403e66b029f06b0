-- needs: short_names
-- Decodes sealed facts. The bytes of one begin with the number of a template, which lists the fields and how each value is
-- written. So what facts have in common is stored once.
--
-- A template's lines are `<field>\t<type><text>`; the types are:
--   u  a UUID, 16 bytes     T  a time in ms, 6 bytes     t  the same, as the difference to the time before it
--   n  a short name         g  what rules give: in the line's text, each # stands for a number
--   s  any text             =  the line's text itself
local TEMPLATES = 'credits:templates'

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
      slots[#slots + 1] = { field = field, type = type_, decode = decoders[type_], text = rest }
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
