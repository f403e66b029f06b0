-- needs: tables
-- Notices that entries of the audit trail are gone. They never expire: so if the newest one that a worker has seen is
-- gone, Redis has lost its newest writes, as after a fail-over or from an old backup. An entry that was moved into the
-- trail of its day (see seal.lua) is not gone.
-- Returns the id of the newest entry now ('' if there is none), and 1 if that is so, else 0.
local audit, lost = unpack(KEYS)
local seen = ARGV[1]

local function numbers_of(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

local function is_moved(id)
  local last = redis.call('HGET', SEALED, 'audited_to')
  if not last then
    return false
  end
  local ms, number = numbers_of(id)
  local last_ms, last_number = numbers_of(last)
  return ms < last_ms or (ms == last_ms and number <= last_number)
end

local is_lost = seen ~= '' and #redis.call('XRANGE', audit, seen, seen) == 0 and not is_moved(seen)
if is_lost then
  redis.call('SET', lost, text(clock()), 'NX')
end
local newest = redis.call('XREVRANGE', audit, '+', '-', 'COUNT', 1)[1]
return { newest and newest[1] or '', is_lost and 1 or 0 }
