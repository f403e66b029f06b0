"""A ledger that was lost and is read back: all that stands in it, as far as Polar can tell."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from tests.support.builders import METERS, ORDER
from tests.support.fake_service import HUNDRED
from tests.support.polar_orders import Operations, operations_at
from tests.support.real_stores import RETAIN
from workers.core.claims import Claim, Standing
from workers.core.delivery import Lease, Leased, Status
from workers.core.envelope import peek_type
from workers.core.grants import order_subject
from workers.operations.pacing import Pacer
from workers.operations.rebuild.comparison import LedgerComparison
from workers.operations.rebuild.run import Rebuilder, RebuildResult
from workers.store.ledger import Ledger
from workers.store.restorations import RestorationStore


def rebuilder_of(operations: Operations) -> Rebuilder:
    """Return what rebuilds; its waiting takes no time."""
    pacer: Pacer = operations.pacer
    return Rebuilder(
        store=RestorationStore(operations.redis),
        ledger=operations.ledger,
        polar=operations.client,
        pacer=pacer,
    )


def compare(operations: Operations) -> LedgerComparison:
    """Look for what the ledger lacks."""
    return rebuilder_of(operations).compare(
        operations.rules, now=datetime.now(UTC), on_progress=lambda _done, _whole: None
    )


def rebuild(operations: Operations) -> RebuildResult:
    """Write down what the ledger lacks."""
    return rebuilder_of(operations).restore(compare(operations), on_progress=lambda _done, _whole: None)


def subjects_in(redis: Redis) -> list[str]:
    """Return every fact that is claimed."""
    kinds = ("order", "cycle", "customer", "refund", "manual", "revoke")
    found = (name.decode() for kind in kinds for name in redis.scan_iter(f"credits:{kind}:*"))
    return sorted(name for name in found if redis.hexists(name, "delivery"))


def ledger_in(redis: Redis) -> dict[str, Mapping[str, Any]]:
    """Return what stands for every fact, as far as Polar can tell it again."""
    subjects = subjects_in(redis)
    standings = Ledger(redis, retain=RETAIN).find_many(subjects)
    return {subject: dict(_told(one)) for subject, one in zip(subjects, standings, strict=True)}


def _told(standing: Standing) -> Iterator[tuple[str, Any]]:
    taken = {meter: sum(rules.values()) for meter, rules in standing.taken.items()}
    yield "taken", taken
    yield "claims", sorted((_told_of(claim) for claim in standing.claims), key=str)


def _told_of(claim: Claim) -> Sequence[Any]:
    grants = [
        (
            one.key,
            one.units,
            one.customer_id,
            one.property_name,
            one.order_id,
            one.reason,
            ",".join(one.rules),
        )
        for one in claim.grants
    ]
    return claim.subject, claim.order_id, grants, sorted(claim.settled)


def run(operations: Operations, deliveries: Sequence[tuple[str, str, bytes]]) -> list[Status]:
    """Store these and work on them at once; return what became of them."""
    leased: tuple[Leased, ...] = operations.store.store_and_lease(deliveries)
    return [one.status for one in operations.granter.run(Lease(deliveries=leased))]


def come(operations: Operations, *bodies: bytes) -> list[Status]:
    """Let webhooks come, one after the other."""
    named = [(f"msg-{hash(body)}", peek_type(body) or "", body) for body in bodies]
    return [status for one in named for status in run(operations, [one])]


def standing_of(operations: Operations, subject: str = order_subject(ORDER)) -> Standing:
    """Return what stands for a fact, for the usual order if no other is named."""
    return operations.ledger.find(subject)


@contextmanager
def refunding_operations_at(redis: Redis) -> Iterator[Operations]:
    """Yield what credits 100, revoked with a refund, at a Polar that has every meter."""
    with operations_at(redis) as opened:
        opened.rules = HUNDRED
        for meter, summed in METERS.items():
            opened.polar.add_meter(meter, summed)
        yield opened


class OldLedger(Ledger):
    """A ledger as it was read before something happened."""

    def __init__(self, redis: Redis, standings: list[Standing]) -> None:
        super().__init__(redis, retain=RETAIN)
        self._standings_then = standings

    def find_many(self, subjects: Sequence[str]) -> list[Standing]:
        """Return what stood then."""
        return [one for one in self._standings_then if one.subject in subjects]
