"""The totals that a command prints before it asks whether to go on."""

from decimal import Decimal

from tests.support.builders import CUSTOMER, some_id
from workers.core.grants import Grant, Part, order_subject
from workers.core.totals import add_up
from workers.operations.totals import add_up_on_disk


def grant(order: int, units: str, meter: str = "images", *, refunded: int | None = None) -> Grant:
    order_id = some_id(order)
    return Grant(
        subject=order_subject(order_id) if refunded is None else f"credits:refund:{order_id}:{refunded}",
        customer_id=CUSTOMER,
        meter=meter,
        property_name="units",
        parts=(Part(rule="pack", units=Decimal(units)),),
        order_id=order_id,
    )


def test_grants_are_counted_and_summed_by_meter() -> None:
    orders = [[grant(number, "50")] for number in range(1, 6)]
    assert str(add_up(orders)) == "5 grants, 250 images"
    assert str(add_up([[grant(1, "0.5"), grant(1, "3", "api_usage")]])) == "2 grants, 3 api_usage, 0.5 images"


def test_an_order_that_several_deliveries_announce_is_credited_once() -> None:
    assert str(add_up([[grant(1, "50")], [grant(1, "50")]])) == "1 grant, 50 images"


def test_refunds_of_one_order_are_cumulative() -> None:
    first, second = grant(1, "-30", refunded=300), grant(1, "-50", refunded=500)
    assert str(add_up([[first], [second], [first]])) == "1 take-back, 50 images"


def test_parts_of_one_refund_add_up() -> None:
    parts = [grant(1, "-30", refunded=300), grant(1, "-20", refunded=500)]
    assert str(add_up([[grant(1, "100"), *parts]])) == "1 grant, 100 images; 1 take-back, 50 images"


def test_nothing_is_no_grant() -> None:
    assert str(add_up([[], []])) == "no grant"


def test_on_disk_they_add_up_to_the_same() -> None:
    twice, refund = [grant(1, "50")], [grant(1, "-30", refunded=300)]
    prospects = [twice, [grant(2, "0.5", "api_usage")], twice, refund]
    assert str(add_up_on_disk(prospects)) == str(add_up(prospects))
