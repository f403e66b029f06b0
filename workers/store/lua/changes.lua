-- needs: facts
-- Changes the fields of an order from which a take-back was computed, if they are as they were. `changes` lists these
-- fields as {field, before, after}. An empty text stands for a missing field.

-- Returns whether each field still has its value `before`.
local function is_unchanged(order, changes)
  for _, change in ipairs(changes) do
    if (on_fact('HGET', order, change.field) or '') ~= change.before then
      return false
    end
  end
  return true
end

local function write_changes(order, changes)
  for _, change in ipairs(changes) do
    if change.after == '' then
      on_fact('HDEL', order, change.field)
    else
      on_fact('HSET', order, change.field, change.after)
    end
  end
end
