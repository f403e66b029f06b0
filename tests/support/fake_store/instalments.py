"""The schedule in memory: instalments whose time has come become deliveries."""

import json
from datetime import datetime

from tests.support.fake_store.facts import FakeFacts, instalment_delivery
from workers.core.grants import instalment_subject, order_subject
from workers.core.instalments import INSTALMENT


class MovingInstalments(FakeFacts):
    """Makes instalments due, as move_instalments.lua does."""

    def move_due(self, polar_now: datetime) -> None:
        """Turn the instalments whose time has come into deliveries, if that is the time by Polar's clock."""
        for place in [one for one, at in self.instalments.items() if at <= polar_now]:
            del self.instalments[place]
            self._queue_instalment(*place)

    def _queue_instalment(self, order_id: str, number: int, meter: str) -> None:
        period, own = self.periods[order_subject(order_id)], self.claims[order_subject(order_id)]
        data = {
            "order_id": order_id,
            "number": number,
            "meter": meter,
            "customer_id": own.grants[0].customer_id,
            "subscription_id": period.subscription_id,
            "product_id": period.product_id,
        }
        delivery_id = instalment_delivery(instalment_subject(order_id, number, meter))
        self._queue(delivery_id, INSTALMENT, json.dumps({"type": INSTALMENT, "data": data}).encode())
