-- needs: facts
-- Links claims to facts. A fact names its linked claims in its field `also`, separated by spaces. To keep that value short,
-- a link leaves out the id that the fact itself has (its customer's or its order's): `credits:customer:<id>:bonus` becomes
-- `customer:bonus`.
--
-- A lost dispute has an id of its own, which its link keeps.
local function link_to(subject)
  local kind, rest = string.match(subject, '^credits:(%a+):[^:]+(.*)$')
  if kind == 'dispute' then
    return string.sub(subject, #'credits:' + 1)
  end
  return kind .. escaped(rest)
end

local function linked_by(link, fact)
  local kind, rest = string.match(link, '^(%a+)(.*)$')
  if kind == 'dispute' then
    return 'credits:' .. link
  end
  local id = kind == 'customer' and on_fact('HGET', fact, 'customer')
    or string.match(fact, '^credits:%a+:([^:]+)')
  return 'credits:' .. kind .. ':' .. id .. unescaped(rest)
end

-- Links the claim of `subject` to a fact, so that whoever reads the fact finds it.
local function add_link(fact, subject)
  local also, link = on_fact('HGET', fact, 'also'), link_to(subject)
  if not string.find(' ' .. (also or '') .. ' ', ' ' .. link .. ' ', 1, true) then
    on_fact('HSET', fact, 'also', also and also .. ' ' .. link or link)
  end
end

-- Undoes add_link.
local function remove_link(fact, subject)
  local kept, link = {}, link_to(subject)
  for each in string.gmatch(on_fact('HGET', fact, 'also') or '', '%S+') do
    if each ~= link then
      kept[#kept + 1] = each
    end
  end
  if #kept > 0 then
    on_fact('HSET', fact, 'also', table.concat(kept, ' '))
  else
    on_fact('HDEL', fact, 'also')
  end
end

-- Returns the subjects that are linked to a fact, by their links.
local function links_of(fact)
  local subjects = {}
  for link in string.gmatch(on_fact('HGET', fact, 'also') or '', '%S+') do
    subjects[link] = linked_by(link, fact)
  end
  return subjects
end
