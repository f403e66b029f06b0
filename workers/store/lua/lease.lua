-- needs: drain_jobs
-- Leases due deliveries to the calling worker. A lease moves a delivery's due time to the end of the lease: if the
-- worker is killed, the delivery becomes due again by itself. It is one step, so that no two workers get the same
-- delivery, and that after a pause only one worker (the probe) asks Polar first.
-- Returns {outages, {id, type, body, strikes, attempt}, ...}; `outages` is the number of pauses in a row.
local due, pause, outage, probe, waiting = unpack(KEYS)
local delivery_prefix, body_prefix, lease_ms, most = unpack(ARGV, 1, 4)
local first_drain_argument = 5

if redis.call('EXISTS', pause) == 1 then
  return { 0 }
end
local outages = tonumber(redis.call('HGET', outage, 'pauses') or 0)
if outages > 0 and not redis.call('SET', probe, 1, 'NX', 'PX', lease_ms) then
  return { 0 } -- another worker is the probe
end

local function bodies_of(ids)
  local keys = {}
  for i, id in ipairs(ids) do
    keys[i] = body_prefix .. id
  end
  return #keys > 0 and redis.call('MGET', unpack(keys)) or {}
end

local now = clock()
-- The longer an outage lasts, the fewer deliveries a probe leases: if Polar cannot take a large request, a small one
-- gets through in the end.
local limit = math.max(1, math.floor(most / 2 ^ outages))
local leased, due_times = { outages }, {}
local now_text, lease_end = text(now), text(now + lease_ms)
local ids = redis.call('ZRANGEBYSCORE', due, '-inf', now_text, 'LIMIT', 0, limit)
local bodies = bodies_of(ids)
for i, id in ipairs(ids) do
  local key = delivery_prefix .. id
  local type_, strikes, status, attempts = unpack(redis.call('HMGET', key, 'type', 'strikes', 'status', 'attempts'))
  if status == 'waiting' then
    append(due_times, lease_end, id)
    local number = (attempts or 0) + 1
    note_attempt(key, 'leased:', number, now_text)
    leased[#leased + 1] = { id, type_, bodies[i] or '', strikes or '0', number }
  else
    redis.call('ZREM', due, id) -- it is settled, or has expired
    redis.call('ZREM', waiting, id)
  end
end
if #leased == 1 then
  redis.call('DEL', probe)
else
  call_with('ZADD', due, due_times) -- one command: each command is one entry of the append-only file
end
if #ids == limit and outages == 0 then
  ensure_drain(drain_job_from(first_drain_argument)) -- more may be due: wake another worker
end
return leased
