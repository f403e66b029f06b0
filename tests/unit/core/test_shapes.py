"""Rows of Polar's lists are read as the bodies of webhooks are: what nothing could write is refused."""

import json
from typing import Any

import pytest

from tests.support.builders import order_webhook, some_id
from workers.core.dispute_delivery import DisputedOrder, LostDispute
from workers.core.instalment_delivery import read_subscription
from workers.core.shapes import read_row
from workers.errors import UnreadablePayloadError

ORDER = json.loads(order_webhook())["data"]
DISPUTE = {"id": some_id(1), "order_id": some_id(2), "amount": 1, "currency": "usd", "status": "lost"}
HALF = "\ud800"  # half of a surrogate pair: Python reads it from JSON, and cannot encode it


@pytest.mark.parametrize(
    ("shape", "row"),
    [
        (LostDispute, DISPUTE | {"status": HALF}),
        (DisputedOrder, ORDER | {"status": HALF}),
        (DisputedOrder, ORDER | {"billing_reason": HALF}),
    ],
)
def test_a_row_with_half_a_character_cannot_be_read(shape: type[Any], row: dict[str, Any]) -> None:
    """Its delivery could not be stored."""
    with pytest.raises(UnreadablePayloadError, match="half a character"):
        read_row(shape, row)


@pytest.mark.parametrize("field", ["status", "product_id"])
def test_a_subscription_with_half_a_character_cannot_be_read(field: str) -> None:
    """The reason why its instalment ends could not be stored."""
    with pytest.raises(UnreadablePayloadError, match="half a character"):
        read_subscription({"status": "active", field: HALF})


def test_half_a_character_that_nobody_reads_does_no_harm() -> None:
    assert read_subscription({"status": "active", "note": HALF}).status == "active"
