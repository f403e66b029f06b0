-- needs: doubts, due_take_backs, facts
-- Records what Polar has of grants that were unconfirmed. Where it is equal, the order's refunds take their share now,
-- in the same step. A grant whose amount has changed since it was read is left as it is.
--
-- readings: {subject, meter, grant, ledger, is_equal, polar, after_ms}; `grant` is the field as it was read, `ledger` its
--           credits, `polar` what Polar has instead ('' if that is not known), `after_ms` when to read it again (missing:
--           never)
-- Returns for each 1 if it is news that Polar has something else.
local unconfirmed, mismatches, due, alerts = unpack(KEYS)
local delivery_prefix, body_prefix, status_prefix = unpack(ARGV, 1, 3)
local readings = cjson.decode(ARGV[4])

local function record(reading)
  local subject, meter = reading.subject, reading.meter
  local member, field = subject .. '\n' .. meter, 'unconfirmed:' .. meter
  if on_fact('HGET', subject, 'grant:' .. meter) ~= reading.grant or on_fact('HEXISTS', subject, field) == 0 then
    return 0
  end
  if reading.is_equal then
    end_doubt(subject, meter, unconfirmed, mismatches)
    make_take_back_due(subject, due, delivery_prefix, body_prefix, status_prefix)
    return 0
  end
  if reading.after_ms then
    redis.call('ZADD', unconfirmed, text(clock() + reading.after_ms), member)
  else
    redis.call('ZREM', unconfirmed, member)
  end
  local both = reading.ledger .. ' ' .. reading.polar
  if reading.polar == '' or redis.call('HGET', mismatches, member) == both then
    return 0
  end
  on_fact('HSET', subject, field, reading.polar)
  if redis.call('HSET', mismatches, member, both) == 1 then
    redis.call('HINCRBY', alerts, 'mismatched_ever', 1)
  end
  return 1
end

local news = {}
for i, reading in ipairs(readings) do
  news[i] = record(reading)
end
return news
