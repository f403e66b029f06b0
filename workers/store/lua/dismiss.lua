-- needs: about_lists, due_take_backs, facts, later_claims, links
-- Dismisses failed deliveries: they become skipped, and expire like other skipped ones. The claim of a dismissed
-- delivery's fact is at rest: nothing sends it any more, until a person replays a delivery of this fact by name (see
-- revival.lua). It is one step, so that a delivery that is being replayed at this moment is left alone.
-- Nothing waits any longer for an instalment or an adjustment that is at rest: what the order's refunds take is due.
--
-- dismissals: {id, lists}; `lists` are the keys of the lists of its order and its customer.
local failed, skipped, due = unpack(KEYS)
local delivery_prefix, body_prefix, status_prefix, retention_s, reason_prefix = unpack(ARGV)
local dismissals = cjson.decode(ARGV[6])

local now = clock()

local function has_field(subject, prefix)
  for _, name in ipairs(on_fact('HKEYS', subject)) do
    if string.sub(name, 1, #prefix) == prefix then
      return true
    end
  end
  return false
end

-- Bonuses of which Polar has nothing go back to the customer, whose next order claims them. If the fact has no other
-- grants, its claim is gone then.
local function release_bonuses(fact)
  local kept, are_released = {}, false
  for link, subject in pairs(links_of(fact)) do
    if string.match(subject, '^credits:customer:') and not has_field(subject, 'settled:') then
      on_fact('DEL', subject)
      are_released = true
    else
      kept[#kept + 1] = link
    end
  end
  if not are_released then
    return
  end
  if #kept > 0 then
    table.sort(kept)
    on_fact('HSET', fact, 'also', table.concat(kept, ' '))
  else
    on_fact('HDEL', fact, 'also')
  end
  if not has_field(fact, 'grant:') then
    on_fact('HDEL', fact, 'delivery', 'claimed_at')
  end
end

local function put_to_rest(id, type_, fact)
  if IS_LATER[type_] then
    for _, subject in ipairs(later_claims_by(id, fact)) do
      on_fact('HSET', subject, 'dismissed', id)
      if string.match(subject, '^credits:instalment:') or string.match(subject, '^credits:adjust:') then
        make_take_back_due(subject, due, delivery_prefix, body_prefix, status_prefix)
      end
    end
    return
  end
  for _, subject in ipairs(take_backs_by(id, fact)) do
    on_fact('HSET', subject, 'dismissed', id)
  end
  release_bonuses(fact)
  on_fact('HSET', fact, 'dismissed', id)
  on_fact('PERSIST', fact)
end

local function dismiss(id, lists)
  local key = delivery_prefix .. id
  local status, received_at, reason, type_, fact =
    unpack(redis.call('HMGET', key, 'status', 'received_at', 'reason', 'type', 'subject'))
  if status ~= 'failed' then
    return -- it is dismissed already, or is being replayed at this moment
  end
  if fact and fact ~= '' then
    put_to_rest(id, type_, fact)
  end
  redis.call('ZREM', failed, id)
  redis.call('ZADD', skipped, received_at, id)
  redis.call('EXPIRE', key, retention_s)
  redis.call('EXPIRE', body_prefix .. id, retention_s)
  for _, list in ipairs(lists) do
    redis.call('ZADD', list, text(now + retention_s * 1000), id)
    expire_with_last(list, now)
  end
  redis.call(
    'HSET', key,
    'status', 'skipped', 'reason', reason_prefix .. reason, 'dismissed', '1', 'settled_at', text(now)
  )
end

for _, dismissal in ipairs(dismissals) do
  dismiss(dismissal.id, dismissal.lists)
end
