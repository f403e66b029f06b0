-- Returns which of these commands our Redis user may not run on a key; none if the server is too old to tell.
local key = ARGV[1]
local first_command = 2

-- Some servers (Redis 8.0) want as many arguments as the command takes, others any number. Two come first: of commands
-- that move something from one key to another, both keys are checked.
local ARGUMENT_COUNTS = { 2, 1, 3, 0, 4, 5 }

local function is_allowed(command)
  for _, count in ipairs(ARGUMENT_COUNTS) do
    local arguments = {}
    for i = 1, count do
      arguments[i] = key
    end
    local is_right_count, allowed = pcall(redis.acl_check_cmd, command, unpack(arguments))
    if is_right_count then
      return allowed
    end
  end
  return true -- the server cannot tell
end

local denied = {}
for i = first_command, redis.acl_check_cmd and #ARGV or 0 do
  if not is_allowed(ARGV[i]) then
    denied[#denied + 1] = ARGV[i]
  end
end
return denied
