-- needs: audit_days, short_names, tables
-- Returns a page of the audit trail, the newest entries first: its newest part, and behind it the trails of days (see
-- seal.lua). Changes nothing.
--
-- before: the id of the last entry of the page before, or '' for the first page
-- since: the lowest id that is wanted, or '-' for all
-- Returns {id, subject, meter} for each entry; the meter is '' where the fact has only one.
local audit = KEYS[1]
local before, since, most = ARGV[1], ARGV[2], tonumber(ARGV[3])

local found = {}
local function add(key, subject_of)
  local last = before == '' and '+' or '(' .. before
  for _, entry in ipairs(redis.call('XREVRANGE', key, last, since, 'COUNT', most - #found)) do
    local subject, meter = subject_of(entry[2])
    found[#found + 1] = { entry[1], subject, meter or '' }
  end
end

add(audit, function(fields) return fields[2], fields[4] end)
local last, first_day = redis.call('HGET', SEALED, 'audited_to'), redis.call('HGET', SEALED, 'first_day')
local first = math.max(tonumber(first_day or 0), since == '-' and 0 or day_of(since))
for day = last and math.min(day_of(last), before == '' and math.huge or day_of(before)) or -1, first, -1 do
  if #found >= most then
    break
  end
  add(AUDIT_DAY .. text(day), function(fields) return 'credits:' .. long_name(fields[2]), fields[4] end)
end
return found
