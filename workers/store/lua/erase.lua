-- Erase bodies; what else is known of the deliveries stays. What waits still needs its own.
-- ARGV: delivery prefix, body prefix, id...     Returns the ids of those erased now
local now = text(clock())
local erased = {}
for i = 3, #ARGV do
  local key = ARGV[1] .. ARGV[i]
  local status = redis.call('HGET', key, 'status')
  if status and status ~= 'waiting' and redis.call('DEL', ARGV[2] .. ARGV[i]) == 1 then
    redis.call('HSET', key, 'erased_at', now)
    erased[#erased + 1] = ARGV[i]
  end
end
return erased
