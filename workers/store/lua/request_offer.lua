-- needs: drain_jobs, facts
-- Stores the storefront's request for an offer as a delivery, unless its key was used: then it returns what stands. It
-- is one step, so that of two requests with one key one stores its customer. A request that was refused, and claimed
-- nothing, may be made again, for another customer too.
--
-- Returns {disposition, the fact's hash, {subject, its hash, 1} for a claim of the customer's, the delivery's hash, its
-- body}. The disposition is `accepted`, `known`, or `unknown` if the rules in force have no such offer. With an empty
-- body, nothing is stored.
local due, rules, fact = unpack(KEYS)
local delivery_prefix, body_prefix, status_prefix = unpack(ARGV, 1, 3)
local id, type_, body, offer = unpack(ARGV, 4, 7)
local first_drain_argument = 8

local key, now = delivery_prefix .. id, text(clock())

-- Without a living worker, nobody knows which offers there are: then a worker decides later.
local function is_offered()
  local names = redis.call('HGET', rules, 'offers')
  return not names or string.find(' ' .. names .. ' ', ' ' .. offer .. ' ', 1, true) ~= nil
end

local function make_due()
  redis.call('ZADD', due, 'NX', now, id)
  ensure_drain(drain_job_from(first_drain_argument))
end

local function store()
  redis.call('SET', body_prefix .. id, body)
  redis.call('ZADD', due, now, id)
  redis.call('ZADD', status_prefix .. 'waiting', now, id)
  redis.call('HSET', key, 'type', type_, 'status', 'waiting', 'received_at', now, 'attempts', 0)
  make_due()
end

local function store_again(status)
  redis.call('SET', body_prefix .. id, body)
  redis.call('ZREM', status_prefix .. status, id)
  redis.call('ZADD', status_prefix .. 'waiting', now, id)
  write_with_reason(key, { 'status', 'waiting', 'strikes', '0', 'received_at', now }, '')
  redis.call('HDEL', key, 'settled_at', 'refusal', 'erased_at')
  redis.call('PERSIST', key)
  make_due()
end

local function request()
  local status, refusal, dismissed = unpack(redis.call('HMGET', key, 'status', 'refusal', 'dismissed'))
  if status == 'waiting' then
    make_due()
    return 'known'
  end
  if on_fact('HEXISTS', fact, 'delivery') == 1 or (status and not refusal) or dismissed then
    return 'known'
  end
  if not is_offered() then
    return 'unknown'
  end
  if status then
    store_again(status)
  else
    store()
  end
  return 'accepted'
end

local disposition = body ~= '' and request() or 'known'
local delivery = redis.call('HGETALL', key)
local by_customer = {}
local customer = value_of('customer_id', delivery)
if customer and customer ~= '' then
  local subject = 'credits:offer:' .. offer .. ':customer:' .. customer
  by_customer = { subject, on_fact('HGETALL', subject), 1 }
end
return { disposition, on_fact('HGETALL', fact), by_customer, delivery, redis.call('GET', body_prefix .. id) or '' }
