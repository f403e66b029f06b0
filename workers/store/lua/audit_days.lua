-- Says where the audit trail is whose newest part has moved on: in streams, one for each day.
local DAY_MS = 86400000
local AUDIT_DAY = 'credits:audit:' -- the number of days since 1970 follows

-- Returns the day of an entry.
local function day_of(id)
  return math.floor(tonumber(string.match(id, '^%d+')) / DAY_MS)
end
