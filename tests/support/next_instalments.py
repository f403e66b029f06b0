"""Lets the next instalments of a fake shop come due, with a subscription that a test describes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from tests.support.fake_service import Shop
from workers.core.claims import Standing
from workers.core.delivery import Outcome
from workers.core.grants import order_subject
from workers.core.instalments import INSTALMENT
from workers.core.plans import Plan
from workers.pipeline.subscriptions import Look, Seen
from workers.timings import DEFAULT_TIMINGS


@dataclass(frozen=True)
class DescribedSubscriptions:
    """Finds each subscription as it is described, at one time."""

    row: Mapping[str, Any]
    at: datetime

    def find(self, wanted: Mapping[str, str]) -> Look:
        """Return what Polar shows of these subscriptions."""
        return Look(found={one: Seen(row=self.row, at=self.at) for one in wanted})


def standing_of(shop: Shop, order_id: str) -> Standing:
    """Return what the ledger has of an order."""
    return shop.store.find_for_plan(Plan(subject=order_subject(order_id)))


def give_next(shop: Shop, **subscription: Any) -> Outcome:
    """Let the instalments with the earliest date come due; return the outcome of the last of them."""
    at = min(shop.store.instalments.values())
    due = [place for place, moment in shop.store.instalments.items() if moment == at]
    for place in due:
        del shop.store.instalments[place]
    return [_come(shop, place, at, subscription) for place in due][-1]


def _come(shop: Shop, place: tuple[str, int, str], at: datetime, subscription: Mapping[str, Any]) -> Outcome:
    order_id, number, meter = place
    standing = standing_of(shop, order_id)
    assert standing.period is not None
    assert standing.own is not None
    data = {
        "order_id": order_id,
        "number": number,
        "meter": meter,
        "customer_id": standing.own.grants[0].customer_id,
        "subscription_id": standing.period.subscription_id,
        "product_id": standing.period.product_id,
    }
    delivery = f"instalment-{order_id}-{number}-{meter}"
    shop.receive(delivery, json.dumps({"type": INSTALMENT, "data": data}).encode())
    row = {"product_id": standing.period.product_id, **subscription}
    granter = replace(shop.granter, subscriptions=DescribedSubscriptions(row, at))
    outcomes = granter.run(shop.store.lease(DEFAULT_TIMINGS.deliveries_per_lease))
    return next(one for one in outcomes if one.delivery_id == delivery)
