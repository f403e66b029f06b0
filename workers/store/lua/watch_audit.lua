-- Notices that entries of the audit trail are gone. They never expire: so if the newest one that a worker has seen is
-- gone, Redis has lost its newest writes, as after a fail-over or from an old backup.
-- Returns the id of the newest entry now ('' if there is none), and 1 if that is so, else 0.
local audit, lost = unpack(KEYS)
local seen = ARGV[1]

local is_lost = seen ~= '' and #redis.call('XRANGE', audit, seen, seen) == 0
if is_lost then
  redis.call('SET', lost, text(clock()), 'NX')
end
local newest = redis.call('XREVRANGE', audit, '+', '-', 'COUNT', 1)[1]
return { newest and newest[1] or '', is_lost and 1 or 0 }
