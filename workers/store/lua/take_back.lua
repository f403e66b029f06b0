-- needs: changes, facts, links
-- Freezes take-backs, and notes with each order how much was taken of it; and adjustments and later instalments, which
-- it counts. It is one
-- step, so that two refunds that are processed at the same time never take the same credits: what was computed from an
-- older state is left out, and so is what a worker whose lease has run out wants to freeze.
--
-- take_backs: {order, changes = {{field, before, after}}, subject, fields, link, lease = {delivery, attempt}}; `order`
--             is the order's subject, `subject` that of the take-back; `link` says whether the order names it in its
--             field `also`: it finds its instalments by their number; lease may be missing.
local delivery_prefix, take_backs = ARGV[1], cjson.decode(ARGV[2])

-- A worker whose lease has run out freezes nothing: another worker has the delivery by now, maybe with newer rules.
local function is_valid(lease)
  return not lease or redis.call('HGET', delivery_prefix .. lease.delivery, 'attempts') == lease.attempt
end

local now = text(clock())
for _, one in ipairs(take_backs) do
  if on_fact('EXISTS', one.subject) == 1 then
    if one.link then
      add_link(one.order, one.subject)
    end
  elseif is_valid(one.lease) and is_unchanged(one.order, one.changes) then
    on_fact('HSET', one.subject, 'claimed_at', now)
    write_fact(one.subject, one.fields)
    write_changes(one.order, one.changes)
    if one.link then
      add_link(one.order, one.subject)
    end
  end
end
