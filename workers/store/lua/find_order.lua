-- needs: facts, instalments, links
-- Returns what is known of an order: what the ledger has for it, and the deliveries that are listed about it, the one
-- that claimed it among them. Changes nothing.
--
-- Returns {{the order's hash, {subject, its hash, 1}, ...}, {{id, the delivery's hash}, ...}}.
local order, about = KEYS[1], KEYS[2]
local delivery_prefix, most, chain_prefix = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local own = on_fact('HGETALL', order)
local standing = { own }
local function add(subject)
  standing[#standing + 1] = { subject, on_fact('HGETALL', subject), 1 }
end
for _, subject in pairs(links_of(order)) do
  add(subject)
end
add_instalments(order, own, chain_prefix, add)

local ids = redis.call('ZRANGE', about, -most, -1)
ids[#ids + 1] = value_of('delivery', own)
local deliveries, seen = {}, {}
for _, id in ipairs(ids) do
  local fields = seen[id] and {} or redis.call('HGETALL', delivery_prefix .. id)
  seen[id] = true
  if #fields > 0 then
    deliveries[#deliveries + 1] = { id, fields }
  end
end
return { standing, deliveries }
