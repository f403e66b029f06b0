-- needs: claimers, facts
-- Writes what follows an instalment, or the order that begins them: the next one, the same one at a later time, or none.
--
-- instalments: a table with the keys to_come, due and polar_clock (see workers/store/keys.py)

-- Exactly one further instalment follows from one that was settled. Its date is by Polar's clock, whatever the clock of
-- Redis shows.
local function begin_next(instalments, subject, meter, following)
  local is_instalment = string.sub(subject, 1, #'credits:instalment:') == 'credits:instalment:'
  if not is_instalment and not following then
    return
  end
  local order = 'credits:order:' .. string.match(subject, '^credits:%a+:([^:]+)')
  if is_instalment then
    on_fact('HDEL', order, 'waits:' .. meter)
  end
  if following and on_fact('HEXISTS', order, 'ended:' .. meter) == 0 then
    redis.call('ZADD', instalments.to_come, 'NX', following.at, following.member)
  end
end

-- An instalment whose time has not come, or whose subscription has to wait, is to come again. So that no tick makes it
-- due at once, the difference of the clocks is noted where it shows.
local function put_back(instalments, id, order, back, now)
  redis.call('ZADD', instalments.to_come, back.at, back.member)
  redis.call('SREM', instalments.due, id)
  if back.polar_now then
    redis.call('SET', instalments.polar_clock, text(now - back.polar_now), 'EX', 86400)
  end
  if back.reason == '' then
    on_fact('HDEL', order, 'waits:' .. back.meter)
  elseif claimer_of(order) then
    on_fact('HSET', order, 'waits:' .. back.meter, back.reason)
  end
end

-- No further instalment follows on a meter of an order.
local function end_instalments(order, ended)
  if claimer_of(order) then
    on_fact('HDEL', order, 'waits:' .. ended.meter)
    on_fact('HSET', order, 'ended:' .. ended.meter, ended.reason)
  end
end
