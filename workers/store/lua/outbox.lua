-- What several scripts do with the outbox of credit events.
--
-- An event is named by a text of two parts, with a line feed between them: the subject and the meter of a grant that was
-- settled, or `failed`, and the delivery and its attempt. It is in one of three lists: `waiting`, scored by when it is sent
-- next, `sent` or `given_up`, scored by when that was.
--
-- outbox: a table with the keys waiting, refused, attempts, failures, sent and given_up (see workers/store/keys.py)
local function outbox_in(keys)
  local waiting, refused, attempts, failures, sent, given_up = unpack(keys)
  return {
    waiting = waiting, refused = refused, attempts = attempts, failures = failures, sent = sent, given_up = given_up,
  }
end

-- Forgets the oldest events of a list that has more than `most`.
local function trim_events(outbox, list, most)
  local excess = redis.call('ZCARD', list) - most
  if excess > 0 then
    local oldest = redis.call('ZRANGE', list, 0, excess - 1)
    redis.call('ZREMRANGEBYRANK', list, 0, excess - 1)
    call_with('HDEL', outbox.attempts, oldest)
    call_with('HDEL', outbox.failures, oldest)
  end
end

-- Sends these events no more, unless a person says so. `why` is kept where no refusal says it.
local function give_up_events(outbox, events, most, why)
  local now, given_up = text(clock()), {}
  for _, event in ipairs(events) do
    append(given_up, now, event)
    redis.call('HSETNX', outbox.attempts, event, '0 ' .. why)
  end
  call_with('ZREM', outbox.waiting, events)
  call_with('ZREM', outbox.refused, events)
  call_with('ZADD', outbox.given_up, given_up)
  trim_events(outbox, outbox.given_up, most)
  count('credit_events_given_up', nil, #events)
end

-- Puts new events into the outbox. If it is full, those that have been due for longest are given up.
local function tell_events(outbox, events, most_waiting, most_given_up)
  local now, due = text(clock()), {}
  for _, event in ipairs(events) do
    append(due, now, event)
  end
  call_with('ZADD', outbox.waiting, due)
  local excess = redis.call('ZCARD', outbox.waiting) - most_waiting
  if excess > 0 then
    local oldest = redis.call('ZRANGE', outbox.waiting, 0, excess - 1)
    give_up_events(outbox, oldest, most_given_up, 'too many others waited')
  end
end
