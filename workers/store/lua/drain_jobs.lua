-- What scripts share about waking a worker.

-- Scripts that may have to wake a worker end with these arguments, which workers.store.queue.drain_job_args makes: the
-- keys of the pause, of RQ's queue and of RQ's set of queues, the id of a new RQ job, and the fields of its hash. One
-- of these fields is binary, which JSON cannot carry.
local function drain_job_from(first)
  local fields = {}
  for i = first + 4, #ARGV do
    fields[#fields + 1] = ARGV[i]
  end
  local pause, queue, queues, id = unpack(ARGV, first, first + 3)
  return { pause = pause, queue = queue, queues = queues, id = id, fields = fields }
end

-- Queues an RQ job that drains what is due, unless one is queued already or there is a pause. Returns whether it did.
local function ensure_drain(job)
  if redis.call('EXISTS', job.pause) == 1 or redis.call('LLEN', job.queue) > 0 then
    return false
  end
  local key = 'rq:job:' .. job.id
  redis.call('HSET', key, unpack(job.fields))
  redis.call('EXPIRE', key, 86400) -- if no worker takes the job within a day, a tick queues another
  redis.call('SADD', job.queues, job.queue)
  redis.call('RPUSH', job.queue, job.id)
  return true
end
