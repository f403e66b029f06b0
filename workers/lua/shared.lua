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
local function write(key, fields)
  for i = 1, #fields, 1000 do
    redis.call('HSET', key, unpack(fields, i, math.min(i + 999, #fields)))
  end
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

-- The last five arguments of a script that may wake a worker: see workers.queue.wake_args.
local function wake_from(first)
  local fields = {}
  for i = first + 4, #ARGV do
    fields[#fields + 1] = ARGV[i]
  end
  return { ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], fields }
end

