-- Reads two declared keys and one that is not declared, as all our scripts do. A server that cannot run them refuses
-- this one: keys of a cluster lie on different nodes, and some servers want every key declared.
local undeclared = ARGV[1]

for i = 1, #KEYS do
  redis.call('EXISTS', KEYS[i])
end
return redis.call('EXISTS', undeclared)
