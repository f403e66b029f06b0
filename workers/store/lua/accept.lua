-- Store deliveries and see that they will be drained.
-- KEYS: due, waiting, counts     ARGV: delivery prefix, body prefix, how many, {id, type, body}..., wake...
-- Returns "accepted" or "duplicate" for each
local last = 3 + 3 * ARGV[3]
local now = text(clock())
local to_drain = false

local function accept(id, type, body)
  local key = ARGV[1] .. id
  if redis.call('EXISTS', key) == 1 then
    if redis.call('HGET', key, 'status') == 'waiting' then
      redis.call('ZADD', KEYS[1], 'NX', now, id)
      to_drain = true
    end
    return 'duplicate'
  end
  redis.call('HSET', key, 'type', type, 'status', 'waiting', 'received_at', now, 'attempts', 0)
  redis.call('SET', ARGV[2] .. id, body)
  redis.call('ZADD', KEYS[1], now, id)
  redis.call('ZADD', KEYS[2], now, id)
  to_drain = true
  return 'accepted'
end

local answers = {}
for i = 4, last, 3 do
  local answer = accept(ARGV[i], ARGV[i + 1], ARGV[i + 2])
  answers[#answers + 1] = answer
  count('webhooks ' .. (ARGV[i + 1] == '' and 'unreadable' or ARGV[i + 1]) .. ' ' .. answer)
end
write_counts(KEYS[3])
if to_drain then
  ensure_drain(wake_from(last + 1))
end
return answers
