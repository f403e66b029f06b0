"""The deliveries in memory: accepted, leased and made due."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.support.fake_clock import Clock
from workers.core.delivery import Leased, Status
from workers.core.envelope import peek_type
from workers.timings import DEFAULT_TIMINGS

TAKES_BACK = {
    "order.refunded",
    "credits.dispute",
    "credits.take_back",
    "manual.revoke",
    "manual.adjust",
    "credits.instalment",
}
"""The types of deliveries that never make an order's own credits."""


@dataclass(kw_only=True, slots=True)
class Stored:
    """A delivery as the store keeps it; ``due`` is None once it is settled."""

    type: str
    body: bytes
    due: datetime | None
    status: Status = Status.WAITING
    reason: str = ""
    attempts: int = 0
    put_off: int = 0
    """The last attempt that ended with an outcome."""
    strikes: int = 0
    subject: str = ""
    order_id: str = ""
    customer_id: str = ""
    is_named: bool = False


class FakeDeliveries:
    """All deliveries, by their ids."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.deliveries: dict[str, Stored] = {}

    def accept(self, delivery_id: str, body: bytes) -> None:
        """Store a delivery that is due at once."""
        if known := self.deliveries.get(delivery_id):
            known.due = known.due or (self._clock.now if known.status is Status.WAITING else None)
            return
        self.deliveries[delivery_id] = Stored(type=peek_type(body) or "", body=body, due=self._clock.now)

    def _take(self, delivery_id: str) -> Leased:
        kept = self.deliveries[delivery_id]
        kept.due = self._clock.now + timedelta(seconds=DEFAULT_TIMINGS.lease_seconds)
        kept.attempts += 1
        return Leased(
            id=delivery_id, type=kept.type, body=kept.body, strikes=kept.strikes, attempt=kept.attempts
        )

    def _holds(self, delivery_id: str, attempt: int) -> bool:
        kept = self.deliveries.get(delivery_id)  # it may have expired, or its Redis may be lost
        return kept is not None and kept.attempts == attempt

    def _queue(self, delivery_id: str, type_: str, body: bytes) -> None:
        """Make a delivery of our own due; its lease, if there is one, is lost."""
        known = self.deliveries.get(delivery_id)
        number = known.attempts + 1 if known else 0
        self.deliveries[delivery_id] = Stored(
            type=type_, body=body, due=self._clock.now, attempts=number, put_off=number
        )
