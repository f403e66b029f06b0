"""The ledger in Redis and the one in memory, behind one protocol."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from msgspec.structs import replace
from redis import Redis

from tests.support.builders import some_id
from tests.support.fake_store.store import FakeStore
from tests.support.ledger_plans import REVOKED
from tests.support.real_stores import RETAIN
from workers.core.claims import Claim, Standing
from workers.core.grants import Grant, order_subject
from workers.core.manual import MANUAL_REVOKE
from workers.core.plans import Plan
from workers.pipeline.ports import Ledger as LedgerPort
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.restorations import RestorationStore

REVOKE_BODY = REVOKED[0].delivery()[2]

_ANY_TIME = datetime(2026, 11, 21, tzinfo=UTC)


class Readable(LedgerPort, Protocol):
    """A ledger that can be looked into."""

    def find_for_plan(self, plan: Plan) -> Standing:
        """Return what stands for all that ``plan`` is about."""
        ...

    def confirm(self, grants: Sequence[Grant]) -> None:
        """Note that Polar has these grants as the ledger has them."""
        ...

    def lease_revoke(self, delivery_id: str, *, by_name: bool) -> int:
        """Lease the delivery of a revoke, which is stored if it is new; return the attempt."""
        ...

    def put_to_rest(self, delivery_id: str) -> None:
        """Dismiss a failed delivery."""
        ...


class RealLedger(Ledger):
    """The ledger in Redis, with what the background process writes."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, retain=RETAIN)
        self.confirm = RestorationStore(redis).confirm
        self._deliveries = DeliveryStore(redis)

    def lease_revoke(self, delivery_id: str, *, by_name: bool) -> int:
        known = self._deliveries.reopen([delivery_id], by_name=by_name)
        new = known or self._deliveries.store_and_lease([(delivery_id, MANUAL_REVOKE, REVOKE_BODY)])
        return new[0].attempt

    def put_to_rest(self, delivery_id: str) -> None:
        self._deliveries.dismiss([delivery_id], retain=RETAIN)


class FakeLedger(FakeStore):
    """The ledger in memory."""

    def lease_revoke(self, delivery_id: str, *, by_name: bool) -> int:
        self.accept(delivery_id, REVOKE_BODY)
        return self.reopen(delivery_id, by_name=by_name).deliveries[0].attempt

    def put_to_rest(self, delivery_id: str) -> None:
        self.dismiss(delivery_id)


def look(book: Readable, order: int) -> Standing:
    """Return what stands of an order."""
    return book.find_for_plan(Plan(subject=order_subject(some_id(order))))


def timeless(standings: list[Standing]) -> list[Standing]:
    """Return the standings with the same moments everywhere, for these alone may differ."""
    return [
        replace(one, claims=tuple(map(_timeless, one.claims)), elsewhere=tuple(map(_timeless, one.elsewhere)))
        for one in standings
    ]


def _timeless(claim: Claim) -> Claim:
    return replace(claim, claimed_at=_ANY_TIME, settled=dict.fromkeys(claim.settled, _ANY_TIME))
