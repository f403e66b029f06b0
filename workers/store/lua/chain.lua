-- needs: facts
-- Follows the facts of a customer, which form a chain, from the newest to the oldest: the hash `customers` names the newest
-- (or, once that is sealed, a table: see facts.lua), and each fact names the one before it in its field `before`. All leave
-- out the `credits:` with which every subject begins.
local function newest_fact(customers, customer)
  return redis.call('HGET', customers, customer) or newest_sealed(customer)
end

local function set_newest_fact(customers, customer, fact)
  redis.call('HSET', customers, customer, string.sub(fact, #'credits:' + 1))
end

local function subject_named(name)
  return name and 'credits:' .. name
end

-- Returns the subject of the customer's newest fact, or of the fact before `last_subject` if that is not empty.
local function next_subject(customers, customer, last_subject)
  if last_subject == '' then
    return subject_named(newest_fact(customers, customer))
  end
  return subject_named(on_fact('HGET', last_subject, 'before'))
end
