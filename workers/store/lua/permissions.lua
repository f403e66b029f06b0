-- Returns which of these commands our Redis user may not run on a key; none if the server is too old to tell.
local key = ARGV[1]
local first_command = 2

local denied = {}
for i = first_command, redis.acl_check_cmd and #ARGV or 0 do
  local command = ARGV[i]
  -- The key is given twice for commands that move something from one key to another; the others ignore it.
  if not redis.acl_check_cmd(command, key, key) then
    denied[#denied + 1] = command
  end
end
return denied
