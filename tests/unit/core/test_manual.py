"""A grant or revoke by hand is a delivery like any other: planned, claimed, sent, settled."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import CUSTOMER, ORDER, some_id
from tests.support.fake_service import TEN, Shop, crash, shop_with
from tests.support.killed import KilledError
from workers.core.delivery import Status
from workers.core.delivery_plans import plan_delivery
from workers.core.envelope import STORED_TYPES
from workers.core.grants import grant_key, subject_of
from workers.core.manual import (
    MANUAL_GRANT,
    MANUAL_PLANS,
    MANUAL_REVOKE,
    ManualGrant,
    ManualRevoke,
    read_request,
)
from workers.errors import UnreadablePayloadError

KEY = f"credits:manual:beta:{CUSTOMER}:api_usage"


def asked(**fields: Any) -> ManualGrant:
    usual: dict[str, Any] = {
        "key": "beta",
        "customer": CUSTOMER,
        "customer_id": CUSTOMER,
        "meter": "api_usage",
        "property_name": "units",
        "units": Decimal(5),
        "reason": "beta tester",
    }
    return ManualGrant(**usual | fields)


def give(shop: Shop, one: ManualGrant) -> str:
    """Store the request as the command does; return its delivery."""
    delivery_id, _, body = one.delivery()
    shop.receive(delivery_id, body)
    return delivery_id


def test_a_grant_by_hand_is_sent_once_with_its_reason_and_no_rules() -> None:
    shop = Shop(TEN)
    delivery_id = give(shop, asked())
    assert shop.work()[delivery_id].reason == "5 api_usage"
    assert shop.replay(delivery_id)[delivery_id].status is Status.GRANTED
    (event,) = shop.polar.events.values()
    assert event == {
        "name": "api_usage",
        "customer_id": CUSTOMER,
        "external_id": KEY,
        "metadata": {"units": -5, "granted_by": "credit-granter", "key": KEY, "reason": "beta tester"},
    }


def test_without_a_reason_the_event_has_none() -> None:
    shop = Shop(TEN)
    give(shop, asked(reason=""))
    shop.work()
    assert "reason" not in shop.polar.events[KEY]["metadata"]


def test_rules_do_not_apply_to_it() -> None:
    shop = shop_with(rules=TEN)
    delivery_id = give(shop, asked(meter="of no rule", property_name="amount"))
    assert shop.work()[delivery_id].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER, "of no rule", "amount") == 5


def test_another_amount_under_the_same_key_fails_when_it_is_run() -> None:
    """Of two commands at the same moment, the second finds what the first has claimed."""
    shop = Shop(TEN)
    delivery_id = give(shop, asked())
    shop.work()
    shop.store.deliveries[delivery_id].body = asked(units=Decimal(6)).delivery()[2]
    outcome = shop.replay(delivery_id)[delivery_id]
    assert outcome.status is Status.FAILED
    assert outcome.reason.startswith(
        "key beta already granted 5 api_usage at 2026-11-21T00:00:00Z; use another"
    )
    assert shop.polar.balance(CUSTOMER) == 5


def test_after_a_crash_the_claimed_amount_is_sent() -> None:
    shop = Shop(TEN)
    delivery_id = give(shop, asked())
    shop.polar.script = [KilledError()]
    crash(shop)
    assert shop.work()[delivery_id].status is Status.GRANTED
    assert shop.polar.events[KEY]["metadata"]["reason"] == "beta tester"


def test_no_webhook_has_the_type_of_a_manual_delivery() -> None:
    assert set(MANUAL_PLANS) == {MANUAL_GRANT, MANUAL_REVOKE}
    assert not set(MANUAL_PLANS) & STORED_TYPES


_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
_units = st.decimals("0.000000001", 10**11, places=3).filter(bool)


@given(_texts, _texts, _texts, _units)
def test_a_grant_request_is_read_back_unchanged(
    customer: str, meter: str, reason: str, units: Decimal
) -> None:
    one = asked(customer=customer, meter=meter, reason=reason, units=units)
    assert read_request(one.delivery()[2], ManualGrant) == one


@pytest.mark.parametrize("meter", [None, "api usage"])
def test_a_revoke_request_is_read_back_unchanged(meter: str | None) -> None:
    one = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER, meter=meter)
    delivery_id, type_, body = one.delivery()
    assert read_request(body, ManualRevoke) == one
    assert (delivery_id, type_) == (f"revoke-{ORDER}" + (f":{meter}" if meter else ""), "manual.revoke")


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"1", b'{"data": null}', b'{"data": {}}', b"\xff", b"[" * 100_000,
     json.dumps({"data": asked().model_dump(mode="json") | {"units": "-5"}}).encode()],
)  # fmt: skip
@pytest.mark.parametrize("type_", [MANUAL_GRANT, MANUAL_REVOKE])
def test_a_damaged_body_fails_with_a_reason(type_: str, body: bytes) -> None:
    with pytest.raises(UnreadablePayloadError):
        MANUAL_PLANS[type_](body)
    assert plan_delivery(type_, body, TEN).failure.startswith("the body cannot be read: ")


@given(_texts, _texts)
def test_the_subject_of_a_manual_grant_is_its_key(customer: str, meter: str) -> None:
    subject = asked(customer=customer, meter=meter).subject
    assert grant_key(subject, meter) == subject == subject_of(subject, meter)
    order = f"credits:order:{some_id(1)}"
    assert subject_of(grant_key(order, meter), meter) == order
