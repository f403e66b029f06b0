-- needs: revival
-- Leases a delivery by its id, whatever its status, as if it had just arrived: the caller works on it itself. If a
-- person has named it, its fact is no longer dismissed. `replayed_by` says who wants it to run again; nil if nobody does.
-- Returns the row of a leased delivery (see lease.lua), or nil if the delivery or its body is unknown.
local function lease_by_id(id, due, delivery_prefix, body_prefix, status_prefix, lease_ms, is_named, replayed_by)
  local key, body = delivery_prefix .. id, redis.call('GET', body_prefix .. id)
  local type_, status, received_at, fact, attempts =
    unpack(redis.call('HMGET', key, 'type', 'status', 'received_at', 'subject', 'attempts'))
  if not type_ or not body then
    return nil
  end
  redis.call('HDEL', key, 'settled_at', 'dismissed', 'named')
  if is_named and fact and fact ~= '' then
    revive(id, type_, fact)
  elseif is_named then
    redis.call('HSET', key, 'named', '1') -- nobody has read it yet: claim.lua revives its fact
  end
  local now = clock()
  redis.call('ZREM', status_prefix .. status, id)
  -- The clock may have been ahead when it was received, and in this list that would count as a step of the clock.
  redis.call('ZADD', status_prefix .. 'waiting', text(math.min(received_at, now)), id)
  redis.call('ZADD', due, text(now + lease_ms), id)
  write_with_reason(key, { 'status', 'waiting', 'strikes', '0', 'put_off', attempts or '0' }, '')
  redis.call('PERSIST', key)
  redis.call('PERSIST', body_prefix .. id)
  local number = (attempts or 0) + 1
  if replayed_by then
    note_attempt(key, 'replay:', number, text(now) .. ' ' .. replayed_by)
  end
  if tonumber(lease_ms) > 0 then
    note_attempt(key, 'leased:', number, text(now))
  else
    redis.call('HSET', key, 'attempts', number) -- a worker leases it with the next number
  end
  return { id, type_, body, '0', number }
end
