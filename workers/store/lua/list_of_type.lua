-- Looks for the deliveries of one type in a page of a list of deliveries, the newest first. Changes nothing.
--
-- KEYS: the list
-- ARGV: the prefix of deliveries and the type; the highest and the lowest score, how many of the first score to leave out,
--       and how many deliveries are looked at
-- Returns how many were looked at, the last one's score, how many of them have that score, and then an id and a score for
-- each delivery of the type. It asks only for the scores that it needs, because few deliveries are of the type: reading
-- the list with all scores took half of the time.
local list = KEYS[1]
local prefix, type_, highest, lowest, skipped, most = unpack(ARGV)
local call = redis.call
local ids = call('ZREVRANGEBYSCORE', list, highest, lowest, 'LIMIT', skipped, most)
local found = {}
for i = 1, #ids do
  if call('HGET', prefix .. ids[i], 'type') == type_ then
    append(found, ids[i], call('ZSCORE', list, ids[i]))
  end
end
local last, same = #ids > 0 and call('ZSCORE', list, ids[#ids]) or '', 0
while same < #ids and call('ZSCORE', list, ids[#ids - same]) == last do
  same = same + 1
end
return { #ids, last, same, unpack(found) }
