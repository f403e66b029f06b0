-- needs: due_take_backs, facts
-- Makes it due to take back what the refunds of these orders take, for `credits rebuild` at its end: a refund that came
-- while its order was lost has taken nothing yet.
local due = KEYS[1]
local delivery_prefix, body_prefix, status_prefix = unpack(ARGV, 1, 3)
local first_order = 4

for i = first_order, #ARGV do
  local order_id, customer_id = string.match(ARGV[i], '^credits:order:(.*)$'), on_fact('HGET', ARGV[i], 'customer')
  if order_id and customer_id then
    queue_take_back(order_id, customer_id, due, delivery_prefix, body_prefix, status_prefix)
  end
end
