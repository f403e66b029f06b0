-- Records what became of credit events that were sent.
--
-- results: {event, type, error, after_ms}; `error` is missing if the storefront took it; `after_ms` is when to send it again,
--          missing if it never is
-- Returns how many were given up.
local outbox, counts = outbox_in(KEYS), KEYS[7]
local results, patience_ms = cjson.decode(ARGV[1]), tonumber(ARGV[2])
local most_sent, most_given_up = tonumber(ARGV[3]), tonumber(ARGV[4])

local now = clock()

local function is_patience_over(event)
  redis.call('ZADD', outbox.refused, 'NX', text(now), event)
  return now - redis.call('ZSCORE', outbox.refused, event) >= patience_ms
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
