-- needs: outbox
-- Records what became of credit events that were sent.
--
-- results: {event, type, error, after_ms}; `error` is missing if the storefront took it; `after_ms` is when to send it again,
--          missing if it never is
-- Returns how many were given up.
local outbox, counts, clock_state = outbox_in(KEYS), KEYS[7], KEYS[8]
local results, patience_ms = cjson.decode(ARGV[1]), tonumber(ARGV[2])
local most_sent, most_given_up = tonumber(ARGV[3]), tonumber(ARGV[4])

local now = clock()

-- If the clock of Redis stepped forward just now, each event would seem to have been refused for days, until a worker
-- notices the step (see mend_step.lua). So nothing is given up while no worker has looked.
local WATCHED_MS = 30000
local is_clock_watched = now - tonumber(redis.call('HGET', clock_state, 'ticked_at') or 0) < WATCHED_MS

local function is_patience_over(event)
  redis.call('ZADD', outbox.refused, 'NX', text(now), event)
  return is_clock_watched and now - redis.call('ZSCORE', outbox.refused, event) >= patience_ms
end

local function record_refusal(result)
  local event = result.event
  if not redis.call('ZSCORE', outbox.waiting, event) then
    return -- it was sent by another one, or given up
  end
  count('credit_events_refused')
  local attempts = string.match(redis.call('HGET', outbox.attempts, event) or '0', '^%d+') + 1
  redis.call('HSET', outbox.attempts, event, text(attempts) .. ' ' .. result.error)
  if not result.after_ms or is_patience_over(event) then
    give_up_events(outbox, { event }, most_given_up, '')
  else
    redis.call('ZADD', outbox.waiting, text(now + result.after_ms), event)
  end
end

local taken, sent = {}, {}
for _, result in ipairs(results) do
  if result.error then
    record_refusal(result)
  else
    taken[#taken + 1] = result.event
    append(sent, text(now), result.event)
    count('credit_events_sent', result.type)
  end
end
for _, list in ipairs({ outbox.waiting, outbox.refused, outbox.given_up }) do
  call_with('ZREM', list, taken)
end
call_with('HDEL', outbox.attempts, taken)
call_with('ZADD', outbox.sent, sent)
trim_events(outbox, outbox.sent, most_sent)
write_counts(counts)
return counted['credit_events_given_up'] or 0
