-- Hand on to the audit trail what was restored: in the order of time, but behind what is there already.
-- KEYS: restored, audit     ARGV: most     Returns how many were handed on
local function last()
  local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if not newest then
    return 0, 0
  end
  local ms, number = string.match(newest[1], '(%d+)-(%d+)')
  return tonumber(ms), tonumber(number)
end

local ms, number = last()

local function id_for(at)
  if at > ms then
    ms, number = at, 0
  elseif at == ms then
    number = number + 1
  else
    ms = math.huge
    return '*'
  end
  return text(ms) .. '-' .. text(number)
end

local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local subject, meter = string.match(found[i], '^([^\n]*)\n(.*)$')
  redis.call('XADD', KEYS[2], id_for(tonumber(found[i + 1])), 'subject', subject, 'meter', meter)
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, ARGV[1] - 1)
return #found / 2
