-- needs: facts
-- Returns a field of each of these facts, sealed or not: two arguments each, the subject and the field. Changes nothing.
local found = {}
for i = 1, #ARGV, 2 do
  found[#found + 1] = on_fact('HGET', ARGV[i], ARGV[i + 1])
end
return found
