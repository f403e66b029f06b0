-- Take deliveries by name, settled or not; the caller works on them itself.
-- Without its body none can be worked on: what is erased is left as it is.
-- KEYS: due     ARGV: delivery prefix, body prefix, prefix of the sets by status, lease ms, id...
-- Returns {id, type, body, strikes, attempt}, ... of those that are taken
local taken = {}
for i = 5, #ARGV do
  taken[#taken + 1] = take_over(ARGV[i])
end
return taken
