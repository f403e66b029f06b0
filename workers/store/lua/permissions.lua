-- Which of these commands may our user not run on this key?
-- ARGV: key, commands...     Returns the commands; none where the server is too old to say
local denied = {}
for i = 2, redis.acl_check_cmd and #ARGV or 0 do
  -- Twice, for those that move something from key to key; the others do not mind.
  if not redis.acl_check_cmd(ARGV[i], ARGV[1], ARGV[1]) then
    denied[#denied + 1] = ARGV[i]
  end
end
return denied
