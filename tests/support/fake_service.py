"""A whole service on fakes, and helpers that crash or delay its workers."""

from collections.abc import Callable, Collection, Mapping, Sequence

import pytest
from msgspec.structs import replace

from config.rules import Rules
from tests.support.builders import ORDER, order_webhook, rule, rules_of, some_id
from tests.support.fake_clock import Clock
from tests.support.fake_polar import FakePolar
from tests.support.fake_store.reading_back import read_back
from tests.support.fake_store.store import FakeStore
from tests.support.killed import KilledError
from workers.core.claims import Claimed, Standing
from workers.core.delivery import Outcome, Status
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.plans import Plan
from workers.core.take_back_delivery import is_take_back_delivery
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
    """A store, a Polar, and a worker that works on demand."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.clock = Clock()
        self.store = FakeStore(self.clock)
        self.polar = FakePolar()

    @property
    def granter(self) -> Granter:
        """Return the granter of a new worker with the current rules."""
        store = self.store
        return Granter(
            deliveries=store,
            ledger=store,
            throttle=store,
            polar=self.polar,
            rules=lambda: self.rules,
            jitter=lambda: 0.0,
        )

    @property
    def received(self) -> int:
        """Return how many deliveries were received; take-backs of the ledger's own are left out."""
        return sum(not is_take_back_delivery(id_) for id_ in self.store.deliveries)

    def receive(self, delivery_id: str, body: bytes) -> None:
        """Store a webhook as the receiver would."""
        self.store.accept(delivery_id, body)

    def tell(self, body: bytes) -> Outcome:
        """Receive one webhook, work on everything due, and return the outcome of that one."""
        delivery_id = f"msg-{self.received + 1}"
        self.receive(delivery_id, body)
        outcome = self.work()[delivery_id]
        self.read_back()
        if any(is_take_back_delivery(id_) and kept.due for id_, kept in self.store.deliveries.items()):
            self.work()
        return outcome

    def look(self, plans: Sequence[Plan]) -> list[Standing]:
        """Return what is frozen of all that each plan is about."""
        return [self.store.find_for_plan(plan) for plan in plans]

    def work(self) -> dict[str, Outcome]:
        """Work on one lease; return the outcomes by delivery id."""
        outcomes = self.granter.run(self.store.lease(DEFAULT_TIMINGS.deliveries_per_lease))
        return {outcome.delivery_id: outcome for outcome in outcomes}

    def read_back(self) -> None:
        """Confirm what Polar has as the ledger has it."""
        read_back(self.store, self.polar)

    def replay(self, *ids: str, by_name: bool = False) -> dict[str, Outcome]:
        """Run these deliveries again."""
        return {one.delivery_id: one for one in self.granter.run(self.store.reopen(*ids, by_name=by_name))}

    def status(self, delivery_id: str) -> Status:
        """Return the status of a delivery."""
        return self.store.deliveries[delivery_id].status


def shop_with(*bodies: bytes, rules: Rules = TEN) -> Shop:
    """Return a shop that has received these webhooks as ``msg-1``, ``msg-2`` and so on."""
    shop = Shop(rules)
    for number, body in enumerate(bodies, 1):
        shop.receive(f"msg-{number}", body)
    return shop


def purchases(count: int) -> list[bytes]:
    """Return webhooks of different orders, each by a different customer."""
    return [order_webhook(id=some_id(n), customer_id=some_id(n)) for n in range(1, count + 1)]


def sold(rules: Rules = HUNDRED) -> Shop:
    """Return a shop that has credited the usual order."""
    shop = shop_with(order_webhook(), rules=rules)
    assert shop.work()["msg-1"].status is Status.GRANTED
    return shop


def taken_back(shop: Shop) -> list[str]:
    """Return the keys of the usual order's take-backs, without their common prefix."""
    return [key.removeprefix(f"credits:refund:{ORDER}:") for key in shop.polar.events if ":refund:" in key]


def crash(shop: Shop, work: Callable[[], object] | None = None) -> None:
    """Let a worker die during its work, and its lease end."""
    with pytest.raises(KilledError):
        (work or shop.work)()
    shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)


def nothing() -> None:
    """Do nothing."""


class LedgerWith:
    """A shop's ledger; calls a function before this worker takes back, or settles."""

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

    def claim_and_ask(self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int]) -> Claimed:
        """Claim; the request is left to the throttle."""
        return Claimed(self.claim(plans, attempts), may_ask=None)

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim as usual."""
        return self._store.claim(plans, attempts)

    def take_back(self, claims: Sequence[LaterClaim], attempts: Mapping[str, int] | None = None) -> None:
        """Call the function once, then take back."""
        happens, self._before_taking_back = self._before_taking_back, nothing
        happens()
        self._store.take_back(claims, attempts)

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        """Call the function, then settle."""
        self._before_settling()
        return self._store.settle(accepted, outcomes, unconfirmed, following)


def work_but_before_settling(shop: Shop, happens: Callable[[], object]) -> dict[str, Outcome]:
    """Work on one lease; ``happens`` is called between Polar's answer and the settlement."""
    return _work_with(shop, LedgerWith(shop, before_settling=happens))


def work_but_before_taking_back(shop: Shop, happens: Callable[[], object]) -> dict[str, Outcome]:
    """Work on one lease; ``happens`` is called between computing and claiming a take-back."""
    return _work_with(shop, LedgerWith(shop, before_taking_back=happens))


def _work_with(shop: Shop, ledger: LedgerWith) -> dict[str, Outcome]:
    outcomes = replace(shop.granter, ledger=ledger).run(
        shop.store.lease(DEFAULT_TIMINGS.deliveries_per_lease)
    )
    return {outcome.delivery_id: outcome for outcome in outcomes}


def die() -> None:
    raise KilledError


def end_well(shop: Shop) -> None:
    """Work and replay without faults; check that no delivery waits or fails in the end."""
    for _ in range(3):
        shop.clock.advance(1_000)
        shop.work()
        shop.read_back()
    failed = [id_ for id_, kept in shop.store.deliveries.items() if kept.status is Status.FAILED]
    shop.replay(*failed)
    shop.read_back()  # Polar may have had what was replayed
    shop.work()  # what refunds take of credits that were replayed
    assert {kept.status for kept in shop.store.deliveries.values()} <= {Status.GRANTED, Status.SKIPPED}
