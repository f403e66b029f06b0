"""Orders and webhooks that only Polar has, and the operations that find them."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace
from redis import Redis

from app.demo.polar import Polar
from config.rules import Rules
from tests.support.builders import CUSTOMER, some_id
from tests.support.fake_service import TEN
from tests.support.killed import KilledError
from tests.support.polar_standin import client_of
from tests.support.real_stores import RETAIN, let_pause_end
from tests.support.recordings import payload
from workers.core.delivery import Lease, Outcome, Status
from workers.core.envelope import peek_type
from workers.core.grants import Grant
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.operations.backfill.run import Backfiller, Backlog
from workers.operations.confirm import Confirmer
from workers.operations.pacing import Pacer
from workers.operations.rebuild.lost_ledger import is_ledger_lost
from workers.operations.recover import Recoverer
from workers.pipeline.granter import Granter
from workers.polar.client import Polar as Client
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle
from workers.store.unconfirmed import UnconfirmedStore


def sell(
    polar: Polar, number: int, like: str = "order_paid_purchase", *, days_ago: float = 1, **data: Any
) -> bytes:
    """Pay an order at Polar; return its webhook, which has not been delivered."""
    body = json.loads(payload(like))
    made_at = datetime.now(UTC) - timedelta(days=days_ago)
    usual = {"id": some_id(number), "customer_id": CUSTOMER, "created_at": made_at.isoformat()}
    body["data"] |= usual | data
    polar.add_order(**body["data"])
    return json.dumps(body).encode()


_SHARE = 300  # requests a minute


class _Doomed:
    """A ledger whose process is killed before anything is settled."""

    def __init__(self, ledger: Ledger) -> None:
        self.claim, self.claim_and_ask = ledger.claim, ledger.claim_and_ask
        self.take_back = ledger.take_back

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        """Raise KilledError."""
        raise KilledError


@dataclass(kw_only=True)
class Operations:
    """A Redis, a Polar without sockets, and the operations on both by the rules in force."""

    redis: Redis
    polar: Polar
    client: Client
    rules: Rules = field(default_factory=lambda: TEN)
    slept: list[float] = field(default_factory=list)
    tells_storefront: bool = False

    @property
    def store(self) -> DeliveryStore:
        """Return the deliveries."""
        return DeliveryStore(self.redis)

    @property
    def ledger(self) -> Ledger:
        """Return the ledger."""
        return Ledger(
            self.redis, retain=RETAIN, tells_storefront=self.tells_storefront, requests_per_minute=_SHARE
        )

    @property
    def pacer(self) -> Pacer:
        """Return a pacer whose waiting takes no time."""
        return Pacer(throttle=Throttle(self.redis, requests_per_minute=100_000), sleep=self._sleep)

    @property
    def backfiller(self) -> Backfiller:
        """Return the backfiller."""
        return Backfiller(store=self.store, ledger=self.ledger, polar=self.client, pacer=self.pacer)

    @property
    def recoverer(self) -> Recoverer:
        """Return the recoverer."""
        return Recoverer(store=self.store, ledger=self.ledger, polar=self.client, pacer=self.pacer)

    @property
    def confirmer(self) -> Confirmer:
        """Return what reads unconfirmed grants back."""
        return Confirmer(store=UnconfirmedStore(self.redis, self.ledger), polar=self.client, pacer=self.pacer)

    def run_due(self) -> list[Status]:
        """Run all deliveries that are due now; return their statuses."""
        return [one.status for one in self.granter.run(self.store.lease(500))]

    def is_ledger_lost(self) -> bool:
        """Return whether the ledger lacks our first credits at Polar."""
        return is_ledger_lost(self.ledger, self.client, self.pacer, now=datetime.now(UTC))

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        let_pause_end(self.redis)

    @property
    def granter(self) -> Granter:
        """Return the granter."""
        throttle = Throttle(self.redis, requests_per_minute=_SHARE)
        return Granter(
            deliveries=self.store,
            ledger=self.ledger,
            throttle=throttle,
            polar=self.client,
            rules=lambda: self.rules,
        )

    def find_missing(self, **how: Any) -> Backlog:
        """Find the missing orders of the last week."""
        now = datetime.now(UTC)
        usual = {"since": now - timedelta(days=7), "until": now, "now": now}
        return self.backfiller.find_missing(self.rules, **usual | how)

    def backfill(self, **how: Any) -> list[Outcome]:
        """Grant the missing orders of the last week; return the outcomes."""
        return [
            one for batch in self.backfiller.grant(self.find_missing(**how), self.granter) for one in batch
        ]

    def backfill_but_die_before_settling(self) -> None:
        """Backfill, and be killed when Polar has accepted the credit but nothing is settled yet."""
        granter = replace(self.granter, ledger=_Doomed(self.ledger))
        list(self.backfiller.grant(self.find_missing(), granter))

    def recover(self) -> list[Outcome]:
        """Recover what Polar failed to deliver in the last day; return the outcomes."""
        now = datetime.now(UTC)
        found = self.recoverer.find_lost(since=now - timedelta(days=1), until=now + timedelta(days=1))
        return [one for batch in self.recoverer.recover(found.oldest_first, self.granter) for one in batch]

    def deliver(self, body: bytes, delivery_id: str = "msg-1") -> Status:
        """Store a webhook and process it; return its status."""
        leased = self.store.store_and_lease([(delivery_id, peek_type(body) or "", body)])
        (outcome,) = self.granter.run(Lease(deliveries=leased))
        return outcome.status

    def deliver_but_die_before_settling(self, body: bytes, delivery_id: str = "msg-1") -> None:
        """Store a webhook, and be killed when Polar has accepted its credit but nothing is settled yet."""
        leased = self.store.store_and_lease([(delivery_id, peek_type(body) or "", body)])
        with suppress(KilledError):
            replace(self.granter, ledger=_Doomed(self.ledger)).run(Lease(deliveries=leased))

    def balance(self) -> float:
        """Return the usual customer's balance at Polar."""
        return float(self.polar.balance(CUSTOMER, "api_usage"))


@contextmanager
def operations_at(redis: Redis) -> Iterator[Operations]:
    """Yield operations on an empty ledger and a Polar with one meter and one customer."""
    polar = Polar(requests_per_minute=10_000)
    polar.add_meter("api_usage")
    polar.add_customer(CUSTOMER)
    with client_of(polar) as client:
        yield Operations(redis=redis, polar=polar, client=client)
