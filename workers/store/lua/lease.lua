-- needs: drain_jobs
-- Leases due deliveries to the calling worker. A lease moves a delivery's due time to the end of the lease: if the
-- worker is killed, the delivery becomes due again by itself. It is one step, so that no two workers get the same
-- delivery, and that after a pause only one worker (the probe) asks Polar first.
-- Returns {outages, {id, type, body, strikes, attempt}, ...}; `outages` is the number of pauses in a row.
local due, pause, outage, probe, waiting = unpack(KEYS)
local delivery_prefix, body_prefix, lease_ms, most = unpack(ARGV, 1, 4)
local first_drain_argument = 5
local PATIENCE = 3 -- leases in a row that end without an outcome: workers are also killed, and Redis fails

if redis.call('EXISTS', pause) == 1 then
  return { 0 }
end
local outages = tonumber(redis.call('HGET', outage, 'pauses') or 0)
if outages > 0 and not redis.call('SET', probe, 1, 'NX', 'PX', lease_ms) then
  return { 0 } -- another worker is the probe
end

local function bodies_of(deliveries)
  local keys = {}
  for i, one in ipairs(deliveries) do
    keys[i] = body_prefix .. one[1]
  end
  return #keys > 0 and redis.call('MGET', unpack(keys)) or {}
end

local now = clock()
-- The longer an outage lasts, the fewer deliveries a probe leases: if Polar cannot take a large request, a small one
-- gets through in the end.
local limit = math.max(1, math.floor(most / 2 ^ outages))
local now_text, lease_end = text(now), text(now + lease_ms)

-- The more leases of a delivery end without an outcome, the fewer it shares the next one with: if one delivery makes each
-- lease fail, the others get through in the end.
local function limit_of(without_outcome)
  return math.max(1, math.floor(most / 2 ^ (without_outcome - PATIENCE)))
end

local ids = redis.call('ZRANGEBYSCORE', due, '-inf', now_text, 'LIMIT', 0, limit)
local taken, are_left = {}, #ids == limit
for _, id in ipairs(ids) do
  local key = delivery_prefix .. id
  local type_, strikes, status, attempts, put_off =
    unpack(redis.call('HMGET', key, 'type', 'strikes', 'status', 'attempts', 'put_off'))
  local attempt = (attempts or 0) + 1
  local without_outcome = attempt - 1 - (put_off or 0)
  local most_with_it = without_outcome > PATIENCE and math.min(limit, limit_of(without_outcome)) or limit
  if status ~= 'waiting' then
    redis.call('ZREM', due, id) -- it is settled, or has expired
    redis.call('ZREM', waiting, id)
  elseif #taken < most_with_it then
    limit = most_with_it
    taken[#taken + 1] = { id, type_, '', strikes or '0', attempt }
  else
    are_left = true
    break
  end
end
local leased, due_times = { outages }, {}
local bodies = bodies_of(taken)
for i, one in ipairs(taken) do
  one[3] = bodies[i] or ''
  leased[#leased + 1] = one
  append(due_times, lease_end, one[1])
  note_attempt(delivery_prefix .. one[1], 'leased:', one[5], now_text)
end
if #taken == 0 then
  redis.call('DEL', probe)
else
  call_with('ZADD', due, due_times) -- one command: each command is one entry of the append-only file
end
if are_left and outages == 0 then
  ensure_drain(drain_job_from(first_drain_argument)) -- wake another worker for those
end
return leased
