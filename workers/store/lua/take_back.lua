-- Freezes take-backs, and notes with each order how much was taken of it. It is one step, so that two refunds that are
-- processed at the same time never take the same credits: a take-back computed from an older state is left out.
--
-- take_backs: {order, changes = {{field, before, after}}, subject, fields}; `order` is the order's subject, `subject`
--             that of the take-back.
local take_backs = cjson.decode(ARGV[1])

local now = text(clock())
for _, one in ipairs(take_backs) do
  if redis.call('EXISTS', one.subject) == 1 then
    add_link(one.order, one.subject)
  elseif is_unchanged(one.order, one.changes) then
    redis.call('HSET', one.subject, 'claimed_at', now)
    write(one.subject, one.fields)
    write_changes(one.order, one.changes)
    add_link(one.order, one.subject)
  end
end
