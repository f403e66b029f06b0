-- Reads the outcomes of deliveries from their flat list (see settle.lua), and writes them into the deliveries' hashes.

local NOTHING_MORE = {}

local function outcome_at(outcomes, i)
  local id, attempt, status, reason, subject, order_id, customer_id, more = unpack(outcomes, i, i + 7)
  return {
    id = id, attempt = attempt, status = status, reason = reason, subject = subject, order_id = order_id,
    customer_id = customer_id, more = more or NOTHING_MORE, relies_on = more and more.relies_on or { subject },
  }
end

-- The order's id is not written: the subject contains it.
local function write_outcome(key, outcome, ...)
  local subject, customer_id, reason = outcome.subject, outcome.customer_id, outcome.reason
  if outcome.attempt == 1 and not outcome.more.refusal and reason ~= '' and #reason <= 64 then
    redis.call('HSET', key, 'subject', subject, 'customer_id', customer_id, 'reason', reason, ...)
    return -- most deliveries end here, without a list of fields
  end
  local fields = { 'subject', outcome.subject, 'customer_id', outcome.customer_id, ... }
  if outcome.more.refusal then
    append(fields, 'refusal', outcome.more.refusal)
  elseif outcome.attempt > 1 then
    redis.call('HDEL', key, 'refusal')
  end
  if outcome.attempt == 1 then -- there is no earlier reason to replace
    append_reason(fields, outcome.reason)
    write(key, fields)
  else
    write_with_reason(key, fields, outcome.reason)
  end
end
