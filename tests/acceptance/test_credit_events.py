"""`credits up` tells the storefront of credits, and none of its logs shows the secrets."""

from pathlib import Path

import pytest

from tests.support.builders import ORDER
from tests.support.event_receivers import EVENTS_SECRET, http_storefront
from tests.support.processes import eventually
from tests.support.storefronts import storefront

CREDIT = f"credits:order:{ORDER}:api_usage"

pytestmark = pytest.mark.heavy


@pytest.mark.usefixtures("redis")
def test_a_credit_and_an_offer_are_told_to_the_storefront(tmp_path: Path, redis_url: str) -> None:
    with http_storefront() as shop:
        events = {"CREDITS_EVENTS_URL": shop.url, "CREDITS_EVENTS_SECRET": EVENTS_SECRET}
        with storefront(tmp_path, redis_url, LOG_LEVEL="debug", **events) as service:
            service.give("referral", "invitation-1", external_customer_id="shopper-2")
            eventually(lambda: len(shop.received) == 2)
        said = service.up.said
    told = {one.id: one.body["data"] for one in shop.received}
    credit, offer = told[CREDIT], told["credits:offer:referral:key:invitation-1:api_usage"]
    assert (credit["order_id"], credit["credits"], credit["rules"]) == (ORDER, 100, ["pack"])
    assert (offer["credits"], offer["external_customer_id"]) == (200, "shopper-2")
    assert EVENTS_SECRET not in said
    assert "s3cret" not in said
