-- Holds the migration for the process that runs it, or ends a step of it: writes the format that is reached.
-- Returns 1, or 0 if another process holds it now, because this one was silent for too long.
local format, holder = unpack(KEYS)
local token, seconds, reached = unpack(ARGV)

if redis.call('GET', holder) ~= token then
  return 0
end
if reached then
  redis.call('SET', format, reached)
  redis.call('DEL', holder)
else
  redis.call('EXPIRE', holder, seconds)
end
return 1
