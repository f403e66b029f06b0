-- Adds amounts that are written as decimal fractions, exactly: Lua's own numbers would round them.
local BILLION = 1000000000

-- Returns an amount as credits and billionths of a credit, both with its sign; nil if it is more exact than that.
local function whole_and_billionths(amount)
  local sign, whole, fraction = string.match(amount, '^(%-?)(%d+)%.?(%d*)$')
  if not whole or #fraction > 9 then
    return nil
  end
  local factor = sign == '-' and -1 or 1
  return factor * tonumber(whole), factor * tonumber(fraction .. string.rep('0', 9 - #fraction))
end

-- Returns the sum of two amounts as a text without needless zeros; nil if it is negative.
local function sum_of(one, other)
  local whole, billionths = whole_and_billionths(one)
  local more_whole, more_billionths = whole_and_billionths(other)
  if not whole or not more_whole then
    return nil
  end
  local carried = math.floor((billionths + more_billionths) / BILLION)
  local rest = billionths + more_billionths - carried * BILLION
  whole = whole + more_whole + carried
  if whole < 0 then
    return nil
  end
  local fraction = string.gsub(string.format('%09.0f', rest), '0+$', '')
  return fraction == '' and text(whole) or text(whole) .. '.' .. fraction
end
