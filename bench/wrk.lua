-- Sends prepared requests, one after the other, and prints what wrk has measured as JSON. Its arguments: a file of
-- requests, each behind its length in eight digits; and whether to begin anew at the end of the file.

local requests, sent, again = {}, 0, false
local threads = {}
ran_out = false -- global, so that the main thread can ask for it

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  local file = assert(io.open(args[1], 'rb'))
  again = args[2] == 'again'
  for length in function() return file:read(8) end do
    requests[#requests + 1] = file:read(tonumber(length))
  end
  file:close()
end

function request()
  sent = sent + 1
  if sent > #requests then
    if not again then
      ran_out = true
      wrk.thread:stop()
    end
    sent = 1
  end
  return requests[sent]
end

function done(summary, latency)
  local errors, has_run_out = summary.errors, false
  for _, thread in ipairs(threads) do
    has_run_out = has_run_out or thread:get('ran_out')
  end
  io.write(string.format(
    'MEASURED {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "failed": %d, "ran_out": %s}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    tostring(has_run_out)
  ))
end
