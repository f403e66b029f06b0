"""A worker on a real Redis whose failed deliveries are dismissed and replayed."""

from redis import Redis

from config.rules import Rules
from tests.support.builders import CUSTOMER, ORDER, rule
from tests.support.fake_polar import FakePolar
from tests.support.fake_service import HUNDRED
from tests.support.real_stores import RETAIN
from workers.core.delivery import Lease, Outcome, Status
from workers.core.envelope import peek_type
from workers.core.grants import customer_subject, order_subject
from workers.pipeline.granter import Granter
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

PACK = rule("pack", {"api_usage": 10})
BONUS = rule("first", {"api_usage": 50}, once_per="customer")
SUBJECT, BONUS_SUBJECT = order_subject(ORDER), customer_subject(CUSTOMER, "first")


class Service:
    """A worker on a real Redis, and a Polar that refuses every customer until it is told otherwise."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.store, self.ledger = DeliveryStore(redis), Ledger(redis, retain=RETAIN)
        self.polar = FakePolar(known=lambda _customer: False)
        self.rules: Rules = HUNDRED
        self.granter = Granter(
            deliveries=self.store,
            ledger=self.ledger,
            throttle=Throttle(redis),
            polar=self.polar,
            rules=lambda: self.rules,
        )

    def tell(self, delivery_id: str, body: bytes) -> Outcome:
        """Store a webhook, or a request by hand, and work on it."""
        leased = self.store.store_and_lease([(delivery_id, peek_type(body) or "", body)])
        return self.granter.run(Lease(deliveries=leased))[0]

    def replay(self, delivery_id: str, *, by_name: bool) -> Outcome:
        """Run a delivery again."""
        return self.granter.run(Lease(deliveries=self.store.reopen([delivery_id], by_name=by_name)))[0]

    def fail_and_dismiss(self, delivery_id: str, body: bytes) -> None:
        """Let Polar refuse a webhook, dismiss it, and let Polar know everybody from then on."""
        assert self.tell(delivery_id, body).status is Status.FAILED
        self.store.dismiss([delivery_id], retain=RETAIN)
        self.polar.known = lambda _customer: True
