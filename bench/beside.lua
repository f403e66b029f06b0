-- Asks for each of the paths in its arguments in turn. The first argument is how long to wait before each request, on
-- average (ms).

local pause_ms, paths, asked = 0, {}, 0

function init(args)
  pause_ms = tonumber(table.remove(args, 1))
  paths = args
end

function delay()
  return math.random(0, 2 * pause_ms)
end

function request()
  asked = asked % #paths + 1
  return wrk.format('GET', paths[asked])
end
