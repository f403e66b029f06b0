-- Remembers the orders that are told. An order whose webhook was skipped is told for as long as anything may look back for
-- it (`told_ms`), though its delivery may expire sooner. An id takes 20 bytes: its 16 are the field of a hash with a few
-- hundred others, which Redis keeps in one piece. The hashes of one period expire together, after the next period.
local function told_period(told_ms, now)
  return math.floor(now / told_ms)
end

local function told_place(prefix, period, order_id)
  local packed = string.gsub(string.gsub(order_id, '-', ''), '%x%x', function(byte)
    return string.char(tonumber(byte, 16))
  end)
  return prefix .. text(period) .. ':' .. string.sub(order_id, 1, 3), packed
end

local function remember_told(prefix, told_ms, now, order_id)
  local period = told_period(told_ms, now)
  local key, field = told_place(prefix, period, order_id)
  local is_first = redis.call('EXISTS', key) == 0
  redis.call('HSET', key, field, '')
  if is_first then
    redis.call('PEXPIRE', key, text((period + 2) * told_ms - now))
  end
end

-- Also looks into the next period: the clock may have been ahead.
local function is_told(prefix, told_ms, now, order_id)
  local period = told_period(told_ms, now)
  for one = period + 1, period - 1, -1 do
    if redis.call('HEXISTS', told_place(prefix, one, order_id)) == 1 then
      return true
    end
  end
  return false
end
