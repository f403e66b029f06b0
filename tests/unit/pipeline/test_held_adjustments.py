"""An adjustment of which Polar took one meter in doubt is sent to its end, once the doubt is over."""

from tests.support.adjusting import ask, standing_in
from tests.support.builders import CUSTOMER, order_webhook, refund_webhook, rule, rules_of
from tests.support.fake_service import HUNDRED, UNREACHABLE, end_well, shop_with, sold
from workers.core.delivery import Status

GIVEN = rules_of(rule("pack", {"api_usage": 100, "images": 8}, on_refund="revoke"))
WANTED = rules_of(rule("pack", {"api_usage": 50, "images": 4}, on_refund="revoke"))


def test_an_adjustment_whose_other_meter_is_unconfirmed_waits_and_is_not_skipped() -> None:
    shop = shop_with(order_webhook(), rules=GIVEN)
    shop.work()
    shop.rules = WANTED
    plan = ask(shop)
    assert plan.request is not None
    name = plan.request.delivery_id
    shop.polar.breaks_at = lambda event: event["name"] == "images"
    shop.polar.loses_answers = 1
    for _ in range(
        4
    ):  # an answer is lost; then one meter is a duplicate, and the other fails; then it is held
        shop.work()
        shop.clock.advance(1000)
    assert standing_in(shop).unconfirmed
    assert shop.status(name) is Status.WAITING
    shop.polar.breaks_at = lambda event: False
    shop.read_back()
    shop.clock.advance(1000)
    shop.work()
    assert shop.status(name) is Status.GRANTED
    assert [shop.polar.balance(CUSTOMER, meter) for meter in ("api_usage", "images")] == [50, 4]


def test_a_dismissed_take_back_that_is_replayed_while_an_adjustment_is_open_follows_it() -> None:
    shop = sold(HUNDRED)
    shop.polar.known = lambda _customer: False
    assert shop.tell(refund_webhook(300)).status is Status.FAILED
    shop.store.dismiss("msg-2")
    shop.polar.known = lambda _customer: True
    shop.rules = rules_of(rule("pack", {"api_usage": 200}, on_refund="revoke"))
    ask(shop)
    shop.polar.script = [UNREACHABLE]
    shop.work()
    assert standing_in(shop).open_adjustment
    assert shop.replay("msg-2", by_name=True)["msg-2"].status is Status.SKIPPED
    end_well(shop)
    assert shop.polar.balance(CUSTOMER) == 140
