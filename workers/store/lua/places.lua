-- needs: facts, unsettled
-- Counts the places of offers that customers have taken. A claim that holds one has the field `place`.
--
-- taken: the hash that counts the places of a customer, by offer

-- Takes one of a customer's places; returns whether there was one.
local function take_place(subject, cap)
  local taken = tonumber(redis.call('HGET', cap.key, cap.offer) or 0)
  if type(cap.most) == 'number' and taken >= cap.most then
    return false
  end
  redis.call('HINCRBY', cap.key, cap.offer, 1)
  on_fact('HSET', subject, 'place', '1')
  return true
end

-- Returns whether a claim has returned its place, because Polar refused its grants, and would send them again now.
local function lacks_place(own)
  if value_of('place', own) or value_of('dismissed', own) then
    return false
  end
  return is_unsettled(own)
end

-- Returns the offer that a claim is of, or nil for another claim.
local function offer_of(subject)
  return string.match(subject, '^credits:offer:([^:]+):key:')
end

-- An offer that Polar refused takes none of its customer's places. A replay takes one again.
local function return_place(subject, taken)
  local offer = offer_of(subject)
  if not offer then
    return
  end
  for _, field in ipairs(on_fact('HKEYS', subject)) do
    if string.find(field, 'settled:', 1, true) == 1 then
      return
    end
  end
  if on_fact('HDEL', subject, 'place') == 1 then
    redis.call('HINCRBY', taken, offer, -1)
  end
end

-- The claim of an offer that was written again has taken a place, whether there was one or not.
local function restore_place(subject, taken)
  local offer = offer_of(subject)
  if offer and on_fact('HSETNX', subject, 'place', '1') == 1 then
    redis.call('HINCRBY', taken, offer, 1)
  end
end
