-- Moves stored times by as much as the clock of Redis has stepped, so that nothing waits longer, and nothing looks older,
-- than it did before. It is one step, and counts the steps, so that of all workers that notice one only one mends it.
-- Returns 1 if this call has mended the step, or 0 if another worker has.
local clock_state, polar_clock, began, due, waiting, unconfirmed, outbox, refused = unpack(KEYS, 1, 8)
local watch, outage, webhooks, budget, reduced = unpack(KEYS, 9, 13)
local first_lifetime = 12 -- this key and those that follow expire: a step back would prolong their lives
local step_ms, steps, delivery_prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local is_past_wrong = ARGV[4] == '1' -- else only times that are still to come are
local WINDOW_MS = 30000 -- a step is noticed within this time, even by a worker that was busy

local now = clock()
local is_back = step_ms < 0

-- Returns a time as it would have been stored without the step. What was stored after the step stays as it is. After a
-- step forward, that is all that is later than the clock had shown before. After a step back, it is what was stored
-- within the window.
local function moved(at)
  if is_back and at <= now and (at > now - WINDOW_MS or not is_past_wrong) then
    return at
  elseif not is_back and at > now - step_ms then
    return at
  end
  return at + step_ms
end

-- Moves all scores from `nearest` to `furthest`, a page at a time. Pages are read in the direction opposite to the step,
-- so that no score moves into what is still to be read.
local function move_scores(list, nearest, furthest, on_move)
  local command = is_back and 'ZRANGEBYSCORE' or 'ZREVRANGEBYSCORE'
  repeat
    local page, scores = redis.call(command, list, nearest, furthest, 'WITHSCORES', 'LIMIT', 0, 1000), {}
    for i = 1, #page, 2 do
      nearest = page[i + 1]
      append(scores, text(nearest + step_ms), page[i])
      on_move(page[i], text(nearest + step_ms))
    end
    call_with('ZADD', list, scores)
  until #page < 2000
end

local function set_received(id, at)
  if redis.call('EXISTS', delivery_prefix .. id) == 1 then
    redis.call('HSET', delivery_prefix .. id, 'received_at', at)
  end
end

local function move_field(key, field)
  local at = tonumber(redis.call('HGET', key, field) or nil)
  if at then
    redis.call('HSET', key, field, text(moved(at)))
  end
end

local function move_value(key)
  local at, left = tonumber(redis.call('GET', key) or nil), redis.call('PTTL', key)
  if at and left > 0 then
    redis.call('SET', key, text(at + step_ms), 'PX', left)
  end
end

local function move_back()
  local future = '(' .. text(now)
  move_scores(due, future, '+inf', function() end)
  move_scores(unconfirmed, future, '+inf', function() end)
  move_scores(outbox, future, '+inf', function() end)
  if is_past_wrong then
    move_scores(waiting, '-inf', text(now - WINDOW_MS), set_received)
    move_scores(refused, '-inf', text(now - WINDOW_MS), function() end)
  end
  move_scores(refused, future, '+inf', function() end)
  move_scores(waiting, future, '+inf', set_received)
  move_value(budget)
  move_value(reduced)
  for i = first_lifetime, #KEYS do
    local left = redis.call('PTTL', KEYS[i])
    if left > 0 then
      redis.call('PEXPIRE', KEYS[i], text(left + step_ms)) -- if its time is over, this deletes the key
    end
  end
end

-- What is due comes early, which delays nothing.
local function move_forward()
  move_scores(waiting, text(now - step_ms), '-inf', set_received)
  move_scores(refused, text(now - step_ms), '-inf', function() end)
end

if tonumber(redis.call('HGET', clock_state, 'steps') or 0) ~= steps then
  return 0
end
local first_tick = tonumber(redis.call('GET', began) or nil)
if first_tick then
  redis.call('SET', began, text(moved(first_tick)))
end
redis.call('DEL', polar_clock)
move_field(watch, 'since')
move_field(watch, 'credited_at')
move_field(outage, 'since')
move_field(webhooks, 'last_at')
move_field(webhooks, 'refused_since')
if is_back then
  move_back()
else
  move_forward()
end
redis.call('HSET', clock_state, 'ticked_at', text(now), 'steps', steps + 1)
return 1
