-- Stands before every script.

-- Milliseconds since the epoch, by the clock of Redis.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A millisecond count as text: Lua's own conversion would write 1.7e12.
local function text(number)
  return string.format('%.0f', number)
end

-- Lua hands a command only so many arguments at once.
local function call_with(command, key, args)
  for i = 1, #args, 1000 do
    redis.call(command, key, unpack(args, i, math.min(i + 999, #args)))
  end
end

local function write(key, fields)
  call_with('HSET', key, fields)
end

local function append(fields, name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

-- A value of more than 64 bytes makes a hash several times as large: a long reason goes on in `reason:2`, ...
local function append_reason(fields, reason)
  local pieces = math.ceil(#reason / 64)
  for i = 1, pieces do
    append(fields, i == 1 and 'reason' or 'reason:' .. i, string.sub(reason, 64 * i - 63, 64 * i))
  end
  return pieces
end

local function write_with_reason(key, fields, reason)
  local pieces = append_reason(fields, reason)
  write(key, fields)
  while redis.call('HDEL', key, pieces == 0 and 'reason' or 'reason:' .. pieces + 1) == 1 do
    pieces = pieces + 1
  end
end

-- What this script has counted, by the field in which it goes to Redis.
local counted = {}

local function count(field, by)
  counted[field] = (counted[field] or 0) + (by or 1)
end

-- One command a number, however many deliveries it is about. Amounts have nine digits after the point at most.
local function write_counts(key)
  for field, by in pairs(counted) do
    redis.call('HINCRBYFLOAT', key, field, string.format('%.9f', by))
  end
end

-- What hangs on a fact is named there in short, without the id that the fact has itself (its customer's, or
-- the order's): `credits:customer:<id>:bonus` is `customer:bonus`. Long values cost Redis a multiple.
-- A meter may have spaces in its name, and they stand between the links.
local function link_to(subject)
  local kind, rest = string.match(subject, '^credits:(%a+):[^:]+(.*)$')
  return kind .. string.gsub(rest, '[%s%%]', function(char)
    return string.format('%%%02X', string.byte(char))
  end)
end

local function linked_by(link, subject)
  local kind, rest = string.match(link, '^(%a+)(.*)$')
  local id = kind == 'customer' and redis.call('HGET', subject, 'customer')
    or string.match(subject, '^credits:%a+:([^:]+)')
  return 'credits:' .. kind .. ':' .. id .. string.gsub(rest, '%%(%x%x)', function(code)
    return string.char(tonumber(code, 16))
  end)
end

-- From here on whoever comes to the fact sees to what hangs on it as well.
local function hang(fact, subject)
  local also, link = redis.call('HGET', fact, 'also'), link_to(subject)
  if not string.find(' ' .. (also or '') .. ' ', ' ' .. link .. ' ', 1, true) then
    redis.call('HSET', fact, 'also', also and also .. ' ' .. link or link)
  end
end

-- What is taken back was worked out from what had been taken before: {{field, before, after}, ...}
local function is_as_worked_out(order, changes)
  for _, change in ipairs(changes) do
    if (redis.call('HGET', order, change[1]) or '') ~= change[2] then
      return false
    end
  end
  return true
end

local function note_taken(order, changes)
  for _, change in ipairs(changes) do
    if change[3] == '' then
      redis.call('HDEL', order, change[1])
    else
      redis.call('HSET', order, change[1], change[3])
    end
  end
end

-- Take a delivery, settled or not, as if it were due; the caller works on it itself. Nil where there is no body.
-- KEYS: due     ARGV: delivery prefix, body prefix, prefix of the sets by status, lease ms
local function take_over(id)
  local key, body = ARGV[1] .. id, redis.call('GET', ARGV[2] .. id)
  local found = redis.call('HMGET', key, 'type', 'status', 'received_at')
  if not found[1] or not body then
    return nil
  end
  redis.call('ZREM', ARGV[3] .. found[2], id)
  redis.call('ZADD', ARGV[3] .. 'waiting', found[3], id)
  redis.call('ZADD', KEYS[1], text(clock() + ARGV[4]), id)
  write_with_reason(key, { 'status', 'waiting', 'strikes', '0' }, '')
  redis.call('HDEL', key, 'settled_at', 'dismissed')
  redis.call('PERSIST', key)
  redis.call('PERSIST', ARGV[2] .. id)
  return { id, found[1], body, '0', redis.call('HINCRBY', key, 'attempts', 1) }
end

-- Each 429 halves our share of the rate limit for five minutes more, down to an eighth: whoever else spends
-- the organization's budget (the storefront) needs more of it than we left.
local HALVING_MS = 300000
local MOST_HALVINGS = 3

local function halvings(thrift)
  return math.ceil(math.max(0, redis.call('PTTL', thrift)) / HALVING_MS)
end

local function share_now(burst, interval, thrift)
  local parts = 2 ^ halvings(thrift)
  return math.max(1, math.floor(burst / parts)), interval * parts
end

-- See to it that an RQ job to drain what is due is queued, unless everybody waits for Polar anyway.
-- wake: {pause key, queue key, set of queues, job id, {job hash}}
local function ensure_drain(wake)
  if redis.call('EXISTS', wake[1]) == 1 or redis.call('LLEN', wake[2]) > 0 then
    return
  end
  local job = 'rq:job:' .. wake[4]
  redis.call('HSET', job, unpack(wake[5]))
  redis.call('EXPIRE', job, 86400) -- a job that nobody takes in a day is queued again by the tick
  redis.call('SADD', wake[3], wake[2])
  redis.call('RPUSH', wake[2], wake[4])
end

-- The last five arguments of a script that may wake a worker: see workers.pipeline.worker.drain_job_args.
local function wake_from(first)
  local fields = {}
  for i = first + 4, #ARGV do
    fields[#fields + 1] = ARGV[i]
  end
  return { ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], fields }
end

