-- Freeze what refunds take back, unless another worker has taken something since it was worked out.
-- ARGV: JSON [[order's subject, taken before, taken after, refund's subject, fields], ...]
local now = text(clock())

-- From here on whoever comes to the order sees to this refund as well.
local function link(order, refund)
  local also = redis.call('HGET', order, 'also') or ''
  for linked in string.gmatch(also, '%S+') do
    if linked == refund then
      return
    end
  end
  redis.call('HSET', order, 'also', also .. ' ' .. refund)
end

for _, item in ipairs(cjson.decode(ARGV[1])) do
  local order, before, after, refund, fields = unpack(item)
  if redis.call('EXISTS', refund) == 1 then
    link(order, refund)
  elseif (redis.call('HGET', order, 'taken') or '{}') == before then
    redis.call('HSET', refund, 'claimed_at', now)
    write(refund, fields)
    redis.call('HSET', order, 'taken', after)
    link(order, refund)
  end
end
