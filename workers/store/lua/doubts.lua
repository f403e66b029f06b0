-- needs: facts
-- Begins and ends the doubt about a grant: it is unconfirmed, and a person is told if Polar has another amount of it.
local function begin_doubt(subject, meter, unconfirmed, now_text)
  on_fact('HSET', subject, 'unconfirmed:' .. meter, '')
  redis.call('ZADD', unconfirmed, now_text, subject .. '\n' .. meter)
end

-- Returns whether the grant was unconfirmed.
local function end_doubt(subject, meter, unconfirmed, mismatches)
  local member = subject .. '\n' .. meter
  redis.call('ZREM', unconfirmed, member)
  redis.call('HDEL', mismatches, member)
  return on_fact('HDEL', subject, 'unconfirmed:' .. meter) == 1
end
