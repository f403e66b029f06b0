-- Freeze each plan unless its subject is frozen already; return what stands frozen now.
-- ARGV: JSON [[subject, [field, value, ...]], ...]; no fields: only look
-- Returns one flat hash for each, empty where nothing stands
local frozen = {}
for i, claim in ipairs(cjson.decode(ARGV[1])) do
  if #claim[2] > 0 and redis.call('EXISTS', claim[1]) == 0 then
    redis.call('HSET', claim[1], 'claimed_at', text(clock()), unpack(claim[2]))
  end
  frozen[i] = redis.call('HGETALL', claim[1])
end
return frozen
