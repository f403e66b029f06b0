"""A whole service on fakes, and what may befall its workers."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from config.rules import Rules
from tests.builders import order_webhook, rule, rules_of, some_id
from tests.fakes import Clock, FakePolar, FakeStore, KilledError
from workers.deliveries import LEASE_SECONDS
from workers.errors import PolarBrokenError, PolarDeniedError, PolarRateLimitedError, PolarUnreachableError
from workers.granting import MOST_DELIVERIES, Granter
from workers.grants import Grant
from workers.planning import Plan
from workers.records import Claim, Outcome, Status

TEN = rules_of(rule("pack", {"api_usage": 10}))
TWENTY = rules_of(rule("pack", {"api_usage": 20}))
NOBODY = rules_of()
BOTH_METERS = rules_of(rule("pack", {"api_usage": 10, "images": 5}))
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
            inbox=store, book=store, gate=store, polar=self.polar, rules=self.rules, jitter=lambda: 0.0
        )

    def receive(self, delivery_id: str, body: bytes) -> None:
        """Store a webhook as the receiver would."""
        self.store.accept(delivery_id, body)

    def work(self) -> dict[str, Outcome]:
        """Do one worker's share; return what became of each delivery in it."""
        outcomes = self.granter.run(self.store.lease(MOST_DELIVERIES))
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


def crash(shop: Shop, work: Callable[[], object] | None = None) -> None:
    """Let a worker die in the midst of its work, and its lease run out."""
    with pytest.raises(KilledError):
        (work or shop.work)()
    shop.clock.advance(LEASE_SECONDS)


class BookWith:
    """A shop's book; ``before_settling`` happens first, to this worker alone."""

    def __init__(self, shop: Shop, before_settling: Callable[[], object]) -> None:
        self._store = shop.store
        self._before_settling = before_settling

    def claim(self, plans: Sequence[tuple[str, Plan]]) -> list[Claim | None]:
        """Claim as always."""
        return self._store.claim(plans)

    def settle(self, accepted: Sequence[Grant], outcomes: Sequence[Outcome]) -> None:
        """Settle, if nothing keeps us from it."""
        self._before_settling()
        self._store.settle(accepted, outcomes)


def work_but_before_settling(shop: Shop, happens: Callable[[], object]) -> None:
    """Do one worker's share; something happens between Polar's answer and the settlement."""
    granter = replace(shop.granter, book=BookWith(shop, happens))
    granter.run(shop.store.lease(MOST_DELIVERIES))


def die() -> None:
    raise KilledError
