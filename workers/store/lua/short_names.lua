-- Writes the names of facts in few bytes, and reads them again.

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
