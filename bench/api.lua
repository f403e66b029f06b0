-- Asks for each of the paths in its arguments in turn.

local paths, asked = {}, 0

function init(args)
  paths = args
end

function request()
  asked = asked % #paths + 1
  return wrk.format('GET', paths[asked])
end
