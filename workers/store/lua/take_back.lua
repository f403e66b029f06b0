-- Freeze what is taken back, unless another worker has taken something since it was worked out.
-- ARGV: JSON [[order's subject, [[field, taken before, taken after], ...], subject of the taking, fields], ...]
local now = text(clock())

for _, item in ipairs(cjson.decode(ARGV[1])) do
  local order, changes, refund, fields = unpack(item)
  if redis.call('EXISTS', refund) == 1 then
    hang(order, refund)
  elseif is_as_worked_out(order, changes) then
    redis.call('HSET', refund, 'claimed_at', now)
    write(refund, fields)
    note_taken(order, changes)
    hang(order, refund)
  end
end
