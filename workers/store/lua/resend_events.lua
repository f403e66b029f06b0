-- needs: outbox
-- Leases these credit events to the calling sender, whatever became of them. If it is killed, others send them when the
-- lease ends. Their attempts, and the days for which they are sent again, begin anew.
local outbox = outbox_in(KEYS)
local lease_ms = tonumber(ARGV[1])
local events, due = { unpack(ARGV, 2) }, {}

local ends = text(clock() + lease_ms)
for _, event in ipairs(events) do
  append(due, ends, event)
end
for _, list in ipairs({ outbox.refused, outbox.sent, outbox.given_up }) do
  call_with('ZREM', list, events)
end
call_with('HDEL', outbox.attempts, events)
call_with('ZADD', outbox.waiting, due)
