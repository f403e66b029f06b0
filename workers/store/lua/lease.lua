-- Take what is due until the lease ends; after that it is due again by itself.
-- KEYS: due, pause, outage, probe, waiting
-- ARGV: delivery prefix, body prefix, lease ms, most, wake...
-- Returns {pauses in a row, {id, type, body, strikes, attempt}, ...}
if redis.call('EXISTS', KEYS[2]) == 1 then
  return { 0 }
end
local outages = tonumber(redis.call('HGET', KEYS[3], 'pauses') or 0)
if outages > 0 and not redis.call('SET', KEYS[4], 1, 'NX', 'PX', ARGV[3]) then
  return { 0 } -- somebody else is trying whether Polar is back
end
local function bodies_of(ids)
  local keys = {}
  for i, id in ipairs(ids) do
    keys[i] = ARGV[2] .. id
  end
  return #keys > 0 and redis.call('MGET', unpack(keys)) or {}
end

local now = clock()
-- A probe is the smaller the longer Polar is away: what is too much for it at once gets through in the end.
local most = math.max(1, math.floor(ARGV[4] / 2 ^ outages))
local leased, ends = { outages }, {}
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, most)
local bodies = bodies_of(ids)
for i, id in ipairs(ids) do
  local key = ARGV[1] .. id
  local found = redis.call('HMGET', key, 'type', 'strikes', 'status')
  if found[3] == 'waiting' then
    append(ends, text(now + ARGV[3]), id)
    leased[#leased + 1] = {
      id, found[1], bodies[i] or '', found[2] or '0',
      redis.call('HINCRBY', key, 'attempts', 1),
    }
  else
    redis.call('ZREM', KEYS[1], id) -- settled, or nothing is known of it any more
    redis.call('ZREM', KEYS[5], id)
  end
end
if #leased == 1 then
  redis.call('DEL', KEYS[4])
else
  call_with('ZADD', KEYS[1], ends) -- each command goes to the append-only file on its own
end
if #ids == most and outages == 0 then
  ensure_drain(wake_from(5)) -- there may be more than one worker's share
end
return leased
