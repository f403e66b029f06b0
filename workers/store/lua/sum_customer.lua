-- needs: chain, facts, instalments, links, sealed_bytes, tables
-- Counts the claims of some of a customer's facts, and the claims linked to them. Claims that are alike (the same meters
-- with the same parts, settled or not) are counted together. A customer may have a hundred thousand facts, so a sealed one
-- is not decoded: only the bytes that say what is granted are compared. Changes nothing.
--
-- customer, last_subject: the script follows the customer's chain, from the newest fact or from behind `last_subject`
-- most, end_before: how many facts are read at most, and a fact at which the chain ends, because it was read before. The
-- chain has no loop unless somebody has edited the ledger
-- chain_prefix: the beginning of the keys that note which order of a subscription begins instalments
-- Returns how many facts were read, the last one's subject if there are more (else ''), and {count, hash} for each group
-- of claims that are alike; the hash is that of one of them.
local customers = KEYS[1]
local customer, last_subject, most, end_before, chain_prefix = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

-- By the type of a slot (see sealed_bytes.lua): each function returns where the value that begins at `at` ends.
local skips = {}

function skips.u(_, at)
  return at + 16
end

function skips.T(_, at)
  return at + 6
end

function skips.t(bytes, at)
  local _, next_ = read_number(bytes, at)
  return next_
end

function skips.s(bytes, at)
  local length, begin = read_number(bytes, at)
  return begin + length
end

skips.n = skips.s

function skips.g(bytes, at, slot)
  local number
  for _ = 1, slot.numbers do
    number, at = read_number(bytes, at)
    at = number % 2 == 0 and at or at + (number - 1) / 2
  end
  return at
end

skips['='] = function(_, at)
  return at
end

local function says_what_is_granted(field)
  return string.find(field, '^grant:') or string.find(field, '^property:')
end

-- Returns how to skip through the facts of a template, whether they are claims, and whether others may be linked to them.
local skippers = {}
local function skipper(number)
  if not skippers[number] then
    local found = { has_claim = false, has_links = false }
    for i, slot in ipairs(template(number)) do
      local field = slot.field
      local _, numbers = string.gsub(slot.text, '#', '')
      found[i] = {
        skip = skips[slot.type], numbers = numbers, is_kept = says_what_is_granted(field), is_before = field == 'before',
      }
      found.has_claim = found.has_claim or field == 'delivery'
      found.has_links = found.has_links or field == 'also' or field == 'subscription'
    end
    skippers[number] = found
  end
  return skippers[number]
end

-- Returns a key that is equal for sealed facts whose grants are alike, the fact before this one, and its skipper. All
-- grants of a sealed fact are settled.
local function skim(bytes)
  local number, at = read_number(bytes, 1)
  local kept, before, begin = number, nil, nil
  local slots = skipper(number)
  for _, slot in ipairs(slots) do
    begin, at = at, slot.skip(bytes, at, slot)
    if slot.is_kept then
      kept = kept .. ':' .. string.sub(bytes, begin, at - 1)
    elseif slot.is_before then
      before = decoders.n(bytes, begin)
    end
  end
  return kept, before, slots
end

local alike, rows = {}, {}

-- Counts a claim. Claims that are alike have the same `key`; `read` returns the hash of this one.
local function count_claim(key, read)
  if not alike[key] then
    alike[key] = { 0, read() }
    rows[#rows + 1] = alike[key]
  end
  alike[key][1] = alike[key][1] + 1
end

local function count_open(fields)
  local parts = {}
  for i = 1, #fields, 2 do
    if says_what_is_granted(fields[i]) then
      append(parts, fields[i], fields[i + 1])
    elseif string.find(fields[i], '^settled:') then
      parts[#parts + 1] = fields[i]
    end
  end
  if value_of('delivery', fields) then
    count_claim('open\n' .. table.concat(parts, '\n'), function() return fields end)
  end
end

-- Counts the claim of a subject. Returns the fact before it, and its fields if other claims may be linked to it.
local function count_subject(subject)
  local bytes = read_entry(FACTS, subject)
  if not bytes then
    local fields = on_fact('HGETALL', subject)
    count_open(fields)
    return value_of('before', fields), fields
  end
  local key, before, slots = skim(bytes)
  if slots.has_claim then
    count_claim(key, function() return decode(bytes) end)
  end
  return before, slots.has_links and decode(bytes)
end

local function count_linked(subject, fields)
  for link in string.gmatch(value_of('also', fields) or '', '%S+') do
    count_subject(linked_by(link, subject))
  end
  add_instalments(subject, fields, chain_prefix, count_subject)
end

local subject = next_subject(customers, customer, last_subject)
local read, last, seen = 0, '', { [end_before] = true }
while subject and read < most and not seen[subject] do
  local before, fields = count_subject(subject)
  if fields then
    count_linked(subject, fields)
  end
  seen[subject], read, last, subject = true, read + 1, subject, subject_named(before)
end
return { read, subject and not seen[subject] and last or '', rows }
