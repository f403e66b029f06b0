"""Adjusts orders with the real operations, on a real Redis and a stand-in for Polar."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from msgspec.structs import replace

from config.rules import Rules
from tests.support.builders import order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.killed import KilledError
from tests.support.ledgers import run
from tests.support.polar_orders import Operations
from workers.core.claims import Claimed, Standing
from workers.core.delivery import Outcome, Status
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.plans import Plan
from workers.operations.adjust.run import Adjuster, adjustable_rule
from workers.operations.adjust.scan import AdjustScan
from workers.pipeline.granter import Granter
from workers.polar.client import Polar
from workers.store.audit import Audit
from workers.store.ledger import Ledger


def pack(units: int | str, **others: Any) -> Rules:
    """Return rules that give so much, beside a gift that no refund takes."""
    return rules_of(
        rule("pack", {"api_usage": units}, on_refund="revoke", **others), rule("gift", {"api_usage": 7})
    )


def buy(operations: Operations, *numbers: int, **data: Any) -> None:
    """Let these orders be paid and credited."""
    bodies = [
        (f"msg-{number}", "order.paid", order_webhook(id=some_id(number), **data)) for number in numbers
    ]
    assert set(run(operations, bodies)) == {Status.GRANTED}


def refund(operations: Operations, number: int, cents: int) -> Status:
    """Refund an order up to an amount."""
    return operations.deliver(refund_webhook(cents, id=some_id(number)), f"refund-{number}-{cents}")


def adjuster_of(operations: Operations) -> Adjuster:
    """Return what plans and runs adjustments."""
    audit = Audit(operations.redis, operations.ledger)
    return Adjuster(store=operations.store, ledger=operations.ledger, audit=audit, pacer=operations.pacer)


def find(operations: Operations, *, assume_current: bool = False, rule_name: str = "pack") -> AdjustScan:
    """Find what is to be adjusted of the last day."""
    now = datetime.now(UTC)
    return adjuster_of(operations).find(
        adjustable_rule(rule_name, operations.rules),
        operations.rules,
        since=now - timedelta(days=1),
        until=now + timedelta(minutes=1),
        polar=operations.client if assume_current else None,
    )


def adjust(
    operations: Operations, granter: Granter | None = None, *, assume_current: bool = False
) -> list[Outcome]:
    """Adjust the orders of the last day; return the outcomes."""
    scan = find(operations, assume_current=assume_current)
    batches = adjuster_of(operations).run(scan, granter or operations.granter)
    return [one for batch in batches for one in batch]


def given_to(operations: Operations, number: int, meter: str = "api_usage") -> float:
    """Return what Polar has of an order's credits on a meter that sums units."""
    units = [
        float(event["metadata"]["units"])
        for event in operations.polar.events
        if event["metadata"].get("order_id") == some_id(number) and event["name"] == meter
    ]
    return -sum(units)


Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Deadly:
    """A ledger and a Polar whose process is killed at one moment: before or after one of their methods."""

    ledger: Ledger
    client: Polar
    moment: str

    def claim_and_ask(self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int]) -> Claimed:
        """Claim; the request is left to the throttle."""
        return Claimed(self.claim(plans, attempts), may_ask=None)

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim, and maybe die."""
        return self._at("claim", lambda: self.ledger.claim(plans, attempts))

    def take_back(self, claims: Sequence[LaterClaim], attempts: Mapping[str, int] | None = None) -> None:
        """Freeze the adjustments, and maybe die."""
        self._at("freeze", lambda: self.ledger.take_back(claims, attempts))

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        """Settle, and maybe die."""
        return self._at("settle", lambda: self.ledger.settle(accepted, outcomes, unconfirmed, following))

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Send, and maybe die."""
        return self._at("send", lambda: self.client.ingest(events))

    def _at(self, name: str, act: Callable[[], Answer]) -> Answer:
        if self.moment == f"before {name}":
            raise KilledError
        answer = act()
        if self.moment == f"after {name}":
            raise KilledError
        return answer


MOMENTS = [f"{when} {name}" for name in ("claim", "freeze", "send", "settle") for when in ("before", "after")]


def doomed_granter(operations: Operations, moment: str) -> Granter:
    """Return a granter whose process is killed at this moment."""
    deadly = Deadly(operations.ledger, operations.client, moment)
    return replace(operations.granter, ledger=deadly, polar=deadly)
