-- Moves restored grants into the audit trail, oldest first. Adding to the trail and removing from the set are one step,
-- so that no grant is listed twice. A stream takes no entry that is older than its last one: an older grant is added
-- after it, and keeps its own time in the ledger. Returns how many grants were moved.
local restored, audit = unpack(KEYS)
local most = tonumber(ARGV[1])

local function last_id()
  local newest = redis.call('XREVRANGE', audit, '+', '-', 'COUNT', 1)[1]
  if not newest then
    return 0, 0
  end
  local ms, number = string.match(newest[1], '(%d+)-(%d+)')
  return tonumber(ms), tonumber(number)
end

local last_ms, last_number = last_id()

local function next_id(at)
  if at > last_ms then
    last_ms, last_number = at, 0
  elseif at == last_ms then
    last_number = last_number + 1
  else
    last_ms = math.huge -- Redis numbers this entry, and all that follow
    return '*'
  end
  return text(last_ms) .. '-' .. text(last_number)
end

local found = redis.call('ZRANGE', restored, 0, most - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local subject, meter = string.match(found[i], '^([^\n]*)\n(.*)$')
  redis.call('XADD', audit, next_id(tonumber(found[i + 1])), 'subject', subject, 'meter', meter)
end
redis.call('ZREMRANGEBYRANK', restored, 0, most - 1)
return #found / 2
