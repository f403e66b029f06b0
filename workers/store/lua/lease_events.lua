-- needs: outbox
-- Leases credit events that are due to the calling sender: they are due again when the lease ends. It is one step, so that
-- no two senders get the same event. Returns {event, attempts so far, failure} for each; failure is '' unless it tells of a
-- delivery that failed.
local outbox = outbox_in(KEYS)
local lease_ms, longest_wait_ms, most = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local now = clock()

local function set_due(events, at)
  local due = {}
  for _, event in ipairs(events) do
    append(due, text(at), event)
  end
  call_with('ZADD', outbox.waiting, due)
end

-- Nothing waits longer than this: the clock of Redis was set back.
local late = '(' .. text(now + longest_wait_ms)
set_due(redis.call('ZRANGEBYSCORE', outbox.waiting, late, '+inf', 'LIMIT', 0, 1000), now)

local events, leased = redis.call('ZRANGEBYSCORE', outbox.waiting, '-inf', text(now), 'LIMIT', 0, most), {}
set_due(events, now + lease_ms)
for i, event in ipairs(events) do
  local attempts = string.match(redis.call('HGET', outbox.attempts, event) or '0', '^%d+')
  leased[i] = { event, attempts, redis.call('HGET', outbox.failures, event) or '' }
end
return leased
