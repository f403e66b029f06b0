-- needs: drain_jobs, rate_limit
-- Queues a drain job if something is due, whatever was lost before: a job, a queue, or a worker with its leases. Also
-- writes that the calling worker is alive, since when there are workers and which rules are in force, removes expired
-- deliveries from the lists by status, and brings nearer what lies further ahead than it ever can: the clock of Redis
-- was set back (see mend_step.lua).
-- Returns {now, last, steps, is_queued}: the time, the latest time that was stored before (or 0), how many steps of the
-- clock were mended, and '1' if something is due and had no job.
local due, rules, outage, began, clock_state, workers, pause, probe, reduced = unpack(KEYS, 1, 9)
local places, former_queue, waiting, failed = unpack(KEYS, 10, 13)
local first_pruned_list = 14
local worker, alive_seconds, in_force, refused, retention_ms, delivery_prefix, body_prefix = unpack(ARGV, 1, 7)
local longest_wait_ms, longest_pause_ms, lease_ms = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local offers = ARGV[11]
local first_drain_argument = 12

local now = clock()

local function latest_stored_time()
  local last_tick = tonumber(redis.call('HGET', clock_state, 'ticked_at') or 0)
  local last_received = tonumber(redis.call('ZRANGE', waiting, -1, -1, 'WITHSCORES')[2] or 0)
  return math.max(last_tick, last_received)
end

local function cap_lifetime(key, longest_ms)
  if redis.call('PTTL', key) > longest_ms then
    redis.call('PEXPIRE', key, text(longest_ms))
  end
end

-- No pause may last longer than it was set to, or than a minute: our share of the rate limit may ask for that much.
local function longest_pause_now()
  return math.max(60000, tonumber(redis.call('HGET', clock_state, 'pause_ms') or longest_pause_ms))
end

-- No retry and no lease makes a delivery wait so long.
local function pull_in_late()
  local late = '(' .. text(now + longest_wait_ms)
  local ids = redis.call('ZRANGEBYSCORE', due, late, '+inf', 'LIMIT', 0, 1000)
  while #ids > 0 do
    local due_times = {}
    for _, id in ipairs(ids) do
      append(due_times, text(now), id)
    end
    call_with('ZADD', due, due_times)
    ids = redis.call('ZRANGEBYSCORE', due, late, '+inf', 'LIMIT', 0, 1000)
  end
end

-- Nothing was received in the future. Whatever says so would be listed, and kept, for as long as the clock was ahead.
local function correct_received(list)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', list, '(' .. text(now), '+inf', 'LIMIT', 0, 500)) do
    redis.call('ZADD', list, text(now), id)
    if redis.call('EXISTS', delivery_prefix .. id) == 1 then
      redis.call('HSET', delivery_prefix .. id, 'received_at', text(now))
      cap_lifetime(delivery_prefix .. id, tonumber(retention_ms))
      cap_lifetime(body_prefix .. id, tonumber(retention_ms))
    end
  end
end

-- An old delivery may have been replayed lately, or settled while CREDITS_RETAIN was longer. So its age does not tell
-- whether it has expired, and one tick looks at the next 500 old ones: however many of them still live, the others'
-- turn comes. `places` holds the rank from which each list is looked at next.
local function prune(list)
  local old = redis.call('ZCOUNT', list, '-inf', text(now - retention_ms))
  local place = tonumber(redis.call('HGET', places, list) or 0)
  if place >= old then
    place = 0
  end
  local last, expired = math.min(place + 500, old), {}
  for _, id in ipairs(old > 0 and redis.call('ZRANGE', list, place, last - 1) or {}) do
    if redis.call('EXISTS', delivery_prefix .. id) == 0 then
      expired[#expired + 1] = id
    end
  end
  call_with('ZREM', list, expired)
  if last < old then
    redis.call('HSET', places, list, text(last - #expired))
    redis.call('EXPIRE', places, alive_seconds)
  else
    redis.call('HDEL', places, list)
  end
end

-- Writes since when there are workers, at the first tick of all, or if the clock was ahead then.
local function write_began()
  local known = tonumber(redis.call('GET', began) or 'inf')
  if known > now then
    redis.call('SET', began, text(now))
  end
end

-- RQ forgets a killed worker four minutes after its last heartbeat. Until then its name tells it from a foreign one.
local REMEMBERED_WORKERS_MS = 300000

local last = latest_stored_time()
redis.call('ZREMRANGEBYSCORE', workers, '-inf', text(now - REMEMBERED_WORKERS_MS))
redis.call('ZREMRANGEBYSCORE', workers, '(' .. text(now), '+inf') -- those that are alive come back with their next tick
redis.call('ZADD', workers, text(now), worker)
redis.call('HSET', rules, 'in_force', in_force, 'refused', refused, 'offers', offers)
redis.call('EXPIRE', rules, alive_seconds)
if last <= now then -- else the clock was set back just now, and mend_step.lua moves all these times back
  redis.call('HSET', clock_state, 'ticked_at', text(now))
  write_began()
  pull_in_late()
  cap_lifetime(pause, longest_pause_now())
  cap_lifetime(probe, lease_ms)
  cap_lifetime(reduced, longest_pause_ms + MOST_HALVINGS * HALVING_MS)
end
correct_received(failed)
for i = first_pruned_list, #KEYS do
  correct_received(KEYS[i])
  prune(KEYS[i])
end
-- If nothing waits, no delivery is left to end an outage: a worker under way, or a person, has granted all that it
-- held up.
if redis.call('ZCARD', due) == 0 then
  redis.call('DEL', outage)
end
-- A version before 0.1.0 may have left a job in the queue that it used, which may be somebody else's by now.
local job = drain_job_from(first_drain_argument)
for _, id in ipairs(redis.call('LRANGE', former_queue, 0, 9)) do
  if redis.call('HGET', 'rq:job:' .. id, 'data') == value_of('data', job.fields) then
    redis.call('LREM', former_queue, 1, id)
    redis.call('DEL', 'rq:job:' .. id)
  end
end
local is_due = #redis.call('ZRANGEBYSCORE', due, '-inf', text(now), 'LIMIT', 0, 1) > 0
local is_queued = is_due and ensure_drain(job)
return { text(now), text(last), redis.call('HGET', clock_state, 'steps') or '0', is_queued and '1' or '0' }
