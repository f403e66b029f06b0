-- Returns, as JSON, the situation from which the alerter decides what to report; a value that is unknown is left out.
-- Also adds new failures to the count `failed_ever`. It never falls, because some of the deliveries that failed since the
-- last alert may have been dismissed or replayed by now. It is one step, so that no two workers count the same failure.
local alerts, watch, failed_list, waiting_list, outage, audit, mismatches, lost, webhooks, endpoint = unpack(KEYS, 1, 10)
local outbox, outbox_refused, outbox_attempts, outbox_sent = unpack(KEYS, 11, 14)
local first_mute = 15
local watch_seconds, mute_ms = ARGV[1], tonumber(ARGV[2])
local first_lasting_kind = 3

local now = text(clock())

local function count_failed()
  local failed = redis.call('ZCARD', failed_list)
  local before = tonumber(redis.call('HGET', alerts, 'failed') or 0)
  if failed > before then
    redis.call('HINCRBY', alerts, 'failed_ever', failed - before)
  end
  if failed ~= before then
    redis.call('HSET', alerts, 'failed', failed)
  end
  return failed
end

-- Returns since when workers have looked without a gap and found Polar in the same state as now.
local function steady_since(is_away)
  local polar = is_away and 'away' or 'there'
  if redis.call('HGET', watch, 'polar') ~= polar then
    redis.call('HSET', watch, 'polar', polar, 'since', now)
  end
  redis.call('EXPIRE', watch, watch_seconds)
  return redis.call('HGET', watch, 'since')
end

-- Returns when workers first saw the newest entry of the audit trail. Its own time is no help: after the clock of Redis
-- was set back, new entries follow the last one at the last one's time.
local function last_credited_at()
  local newest = redis.call('XREVRANGE', audit, '+', '-', 'COUNT', 1)[1]
  if newest and redis.call('HGET', watch, 'last_credit') ~= newest[1] then
    redis.call('HSET', watch, 'last_credit', newest[1], 'credited_at', now)
  end
  return newest and redis.call('HGET', watch, 'credited_at')
end

-- Returns 1 if the key exists, else 0. A clock that was set back would make it live longer than it may.
local function is_muted(key)
  local left = redis.call('PTTL', key)
  if left > mute_ms then
    redis.call('PEXPIRE', key, text(mute_ms))
  end
  return left > 0 and 1 or 0
end

local function fields_of(hash)
  local found, fields = redis.call('HGETALL', hash), { none = '' } -- cjson writes an empty table as a list
  for i = 1, #found, 2 do
    fields[found[i]] = found[i + 1]
  end
  return fields
end

-- Returns what workers.core.outbox_state needs.
local function outbox_state()
  local due = redis.call('ZRANGE', outbox, 0, 0, 'WITHSCORES')
  if #due == 0 then
    return nil -- the usual case
  end
  local refused = redis.call('ZRANGE', outbox_refused, 0, 0, 'WITHSCORES')
  local oldest = math.min(tonumber(due[2]), tonumber(refused[2] or 'inf'))
  return {
    waiting = redis.call('ZCARD', outbox),
    oldest = text(oldest),
    last_sent = redis.call('ZRANGE', outbox_sent, -1, -1, 'WITHSCORES')[2],
    attempts = refused[1] and redis.call('HGET', outbox_attempts, refused[1]) or nil,
  }
end

local failed = count_failed()
local failed_ever, failed_reported = unpack(redis.call('HMGET', alerts, 'failed_ever', 'failed_reported'))
local alerted = redis.call('HMGET', alerts, unpack(ARGV, first_lasting_kind))
for i, mark in ipairs(alerted) do
  alerted[i] = mark and 1 or 0
end
local mismatched_ever, mismatched_reported = unpack(redis.call('HMGET', alerts, 'mismatched_ever', 'mismatched_reported'))
local outage_since, outage_reason = unpack(redis.call('HMGET', outage, 'since', 'reason'))
local oldest = redis.call('ZRANGE', waiting_list, 0, 0, 'WITHSCORES')
local muted = {}
for i = first_mute, #KEYS do
  muted[#muted + 1] = is_muted(KEYS[i])
end
return cjson.encode({
  now = now,
  steady_since = steady_since(outage_since),
  failed = failed,
  failed_ever = tonumber(failed_ever or 0),
  failed_reported = tonumber(failed_reported or 0),
  mismatched = redis.call('HLEN', mismatches),
  mismatched_ever = tonumber(mismatched_ever or 0),
  mismatched_reported = tonumber(mismatched_reported or 0),
  alerted = alerted,
  is_lost = redis.call('EXISTS', lost) == 1,
  webhooks = fields_of(webhooks),
  endpoint_problem = redis.call('HGET', endpoint, 'problem') or '',
  muted = muted,
  waiting = redis.call('ZCARD', waiting_list),
  oldest_waiting = oldest[2],
  last_credit = last_credited_at() or nil,
  outage_since = outage_since or nil,
  outage_reason = outage_reason or nil,
  outbox = outbox_state(),
})
