-- Freeze each plan unless its fact is frozen already; return all that stands frozen now.
-- KEYS: customers
-- ARGV: delivery prefix,
--       JSON [[subject, [refunded amount, share] or [], [delivery, attempt] or [], base fields,
--              [[subject, fields], ...]], ...]
-- Without base fields it only looks. Returns for each
-- {the subject's hash, {another's subject, its hash, 1 if it hangs on this one, else 0}, ...}; or, where nothing
-- was known of the subject and all of its plan has been frozen just now, the moment (ms).
local now = text(clock())

local function is_frozen(subject)
  return redis.call('HEXISTS', subject, 'delivery') == 1
end

-- Who slept past its lease freezes nothing: another has the delivery, and maybe other rules.
local function holds(lease)
  return #lease == 0 or redis.call('HGET', ARGV[1] .. lease[1], 'attempts') == tostring(lease[2])
end

-- The highest refund is kept with the order, credited already or not.
local function note(subject, amount, share)
  local seen = redis.call('HGET', subject, 'refunded_amount')
  if not seen or tonumber(amount) > tonumber(seen) or (amount == seen and share == '1/1') then
    redis.call('HSET', subject, 'refunded_amount', amount, 'refunded_share', share)
  end
end

-- Each fact names the one before it of the same customer: all of them are found from the newest on. All
-- subjects begin with `credits:`; that is left out. Base fields are the delivery, its id, the customer, their id.
local function list(subject, fields)
  local customer = fields[4]
  local before = redis.call('HGET', KEYS[1], customer)
  if before then
    append(fields, 'before', before)
  end
  redis.call('HSET', KEYS[1], customer, string.sub(subject, #'credits:' + 1))
end

local function freeze(subject, base, claims)
  local own, linked = nil, {}
  for _, claim in ipairs(claims) do
    if claim[1] == subject then
      own = claim[2]
    elseif not is_frozen(claim[1]) then
      append(claim[2], 'claimed_at', now)
      write(claim[1], claim[2])
      linked[#linked + 1] = link_to(claim[1])
    end
  end
  if own or #linked > 0 then
    local fields = own or base
    append(fields, 'claimed_at', now)
    list(subject, fields)
    if #linked > 0 then
      append(fields, 'also', table.concat(linked, ' '))
    end
    write(subject, fields) -- in one command: each one more goes to the append-only file on its own
  end
end

local function value_of(name, flat)
  for i = 1, #flat, 2 do
    if flat[i] == name then
      return flat[i + 1]
    end
  end
end

local function standing(subject, own, claims)
  local found, seen = { own }, { [subject] = true }
  local function add(other, is_linked)
    if not seen[other] then
      seen[other] = true
      found[#found + 1] = { other, redis.call('HGETALL', other), is_linked }
    end
  end
  for link in string.gmatch(value_of('also', own) or '', '%S+') do
    add(linked_by(link, subject), 1)
  end
  for _, claim in ipairs(claims) do
    add(claim[1], 0)
  end
  return found
end

local answer = {}
for i, plan in ipairs(cjson.decode(ARGV[2])) do
  local subject, refund, lease, base, claims = unpack(plan)
  if #refund > 0 then
    note(subject, refund[1], refund[2])
  end
  local own, is_new = redis.call('HGETALL', subject), false
  if #base > 0 and not value_of('delivery', own) and holds(lease) then
    freeze(subject, base, claims)
    is_new = #own == 0 and #claims == 1 and claims[1][1] == subject
    if not is_new then
      own = redis.call('HGETALL', subject)
    end
  end
  answer[i] = is_new and now or standing(subject, own, claims)
end
return answer
