"""A whole service on fakes, and what may befall its workers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from config.rules import Rules
from tests.support.builders import ORDER, order_webhook, rule, rules_of, some_id
from tests.support.fakes import Clock, FakePolar, FakeStore, KilledError
from workers.core.claims import Standing, TakeBack
from workers.core.delivery import Outcome, Status
from workers.core.grants import Grant
from workers.core.planning import Plan
from workers.errors import PolarBrokenError, PolarDeniedError, PolarRateLimitedError, PolarUnreachableError
from workers.pipeline.granter import Granter
from workers.timings import DEFAULT_TIMINGS

TEN = rules_of(rule("pack", {"api_usage": 10}))
TWENTY = rules_of(rule("pack", {"api_usage": 20}))
NOBODY = rules_of()
BOTH_METERS = rules_of(rule("pack", {"api_usage": 10, "images": 5}))
HUNDRED = rules_of(rule("pack", {"api_usage": 100}, on_refund="revoke"))
MIXED = rules_of(
    rule("pack", {"api_usage": 100, "images": 8}, on_refund="revoke"), rule("gift", {"api_usage": 7})
)
KEPT = rules_of(rule("pack", {"api_usage": 100}))
TOO_EXACT = rules_of(rule("much", {"api_usage": 10**11}), rule("little", {"api_usage": "0.00001"}))

BROKEN = PolarBrokenError("Polar answered 500")
UNREACHABLE = PolarUnreachableError("no answer from Polar: ConnectError")
DENIED = PolarDeniedError("Polar answered 401: invalid_token")


def limited(seconds: float) -> PolarRateLimitedError:
    return PolarRateLimitedError("Polar answered 429", retry_after_seconds=seconds)


class Shop:
    """A store, a Polar and a worker that works when it is told to."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.clock = Clock()
        self.store = FakeStore(self.clock)
        self.polar = FakePolar()

    @property
    def granter(self) -> Granter:
        """Return a worker that has just started, with the rules that are in force now."""
        store = self.store
        return Granter(
            deliveries=store,
            ledger=store,
            throttle=store,
            polar=self.polar,
            rules=lambda: self.rules,
            jitter=lambda: 0.0,
        )

    def receive(self, delivery_id: str, body: bytes) -> None:
        """Store a webhook as the receiver would."""
        self.store.accept(delivery_id, body)

    def tell(self, body: bytes) -> Outcome:
        """Receive one webhook, work on all that is due, and return what became of that one."""
        delivery_id = f"msg-{len(self.store.deliveries) + 1}"
        self.receive(delivery_id, body)
        return self.work()[delivery_id]

    def look(self, plans: Sequence[Plan]) -> list[Standing]:
        """Return what is frozen of all that each plan is about."""
        return [self.store.find_for_plan(plan) for plan in plans]

    def work(self) -> dict[str, Outcome]:
        """Do one worker's share; return what became of each delivery in it."""
        outcomes = self.granter.run(self.store.lease(DEFAULT_TIMINGS.deliveries_per_lease))
        return {outcome.delivery_id: outcome for outcome in outcomes}

    def replay(self, *ids: str) -> dict[str, Outcome]:
        """Run these deliveries again."""
        return {one.delivery_id: one for one in self.granter.run(self.store.reopen(*ids))}

    def status(self, delivery_id: str) -> Status:
        """Return what has become of a delivery."""
        return self.store.deliveries[delivery_id].status


def shop_with(*bodies: bytes, rules: Rules = TEN) -> Shop:
    """Return a shop that has received these webhooks as ``msg-1``, ``msg-2`` and so on."""
    shop = Shop(rules)
    for number, body in enumerate(bodies, 1):
        shop.receive(f"msg-{number}", body)
    return shop


def purchases(count: int) -> list[bytes]:
    """Return webhooks of orders of their own, each by a customer of its own."""
    return [order_webhook(id=some_id(n), customer_id=some_id(n)) for n in range(1, count + 1)]


def sold(rules: Rules = HUNDRED) -> Shop:
    """Return a shop that has credited the usual order."""
    shop = shop_with(order_webhook(), rules=rules)
    assert shop.work()["msg-1"].status is Status.GRANTED
    return shop


def taken_back(shop: Shop) -> list[str]:
    """Return the keys of what was taken back of the usual order, without what they all begin with."""
    return [key.removeprefix(f"credits:refund:{ORDER}:") for key in shop.polar.events if ":refund:" in key]


def crash(shop: Shop, work: Callable[[], object] | None = None) -> None:
    """Let a worker die in the midst of its work, and its lease run out."""
    with pytest.raises(KilledError):
        (work or shop.work)()
    shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)


def nothing() -> None:
    """Let nothing happen."""


class BookWith:
    """A shop's book; to this worker alone something happens before it takes back, or settles."""

    def __init__(
        self,
        shop: Shop,
        *,
        before_taking_back: Callable[[], object] = nothing,
        before_settling: Callable[[], object] = nothing,
    ) -> None:
        self._store = shop.store
        self._before_taking_back = before_taking_back
        self._before_settling = before_settling

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim as always."""
        return self._store.claim(plans, attempts)

    def take_back(self, claims: Sequence[TakeBack]) -> None:
        """Take back, if nothing keeps us from it; what happens before happens once."""
        happens, self._before_taking_back = self._before_taking_back, nothing
        happens()
        self._store.take_back(claims)

    def settle(self, accepted: Sequence[Grant], outcomes: Sequence[Outcome]) -> set[str]:
        """Settle, if nothing keeps us from it."""
        self._before_settling()
        return self._store.settle(accepted, outcomes)


def work_but_before_settling(shop: Shop, happens: Callable[[], object]) -> dict[str, Outcome]:
    """Do one worker's share; something happens between Polar's answer and the settlement."""
    return _work_with(shop, BookWith(shop, before_settling=happens))


def work_but_before_taking_back(shop: Shop, happens: Callable[[], object]) -> dict[str, Outcome]:
    """Do one worker's share; something happens when it has worked out what a refund takes back."""
    return _work_with(shop, BookWith(shop, before_taking_back=happens))


def _work_with(shop: Shop, book: BookWith) -> dict[str, Outcome]:
    outcomes = replace(shop.granter, ledger=book).run(shop.store.lease(DEFAULT_TIMINGS.deliveries_per_lease))
    return {outcome.delivery_id: outcome for outcome in outcomes}


def die() -> None:
    raise KilledError


def end_well(shop: Shop) -> None:
    """Let the world be well again; no delivery may be left waiting or fail when it is replayed."""
    for _ in range(3):
        shop.clock.advance(1_000)
        shop.work()
    failed = [id_ for id_, kept in shop.store.deliveries.items() if kept.status is Status.FAILED]
    shop.replay(*failed)
    assert {kept.status for kept in shop.store.deliveries.values()} <= {Status.GRANTED, Status.SKIPPED}
