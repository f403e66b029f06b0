"""Helpers for a ledger that was lost and is rebuilt: its content, as far as Polar records it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from redis import Redis

from tests.support.builders import METERS, ORDER, order_webhook, rule
from tests.support.fake_service import HUNDRED
from tests.support.polar_orders import Operations, operations_at
from tests.support.real_stores import RETAIN
from tests.support.sealing import sealed_subjects
from workers.core.claims import Claim, Standing
from workers.core.delivery import Lease, Leased, Status
from workers.core.envelope import peek_type
from workers.core.grants import order_subject
from workers.operations.pacing import Pacer
from workers.operations.rebuild.comparison import LedgerComparison
from workers.operations.rebuild.run import Rebuilder, RebuildResult
from workers.store import keys
from workers.store.ledger import Ledger
from workers.store.restorations import RestorationStore

SUBJECT = order_subject(ORDER)
"""The usual order's."""

PAID = order_webhook()
"""Its webhook."""

PACK = rule("pack", {"api_usage": 100}, triggers=["purchase"], on_refund="revoke")
GIFT = rule("gift", {"api_usage": 7}, triggers=["purchase"])


def rebuilder_of(operations: Operations) -> Rebuilder:
    """Return a rebuilder whose waiting takes no time."""
    pacer: Pacer = operations.pacer
    return Rebuilder(
        store=RestorationStore(operations.redis),
        ledger=operations.ledger,
        polar=operations.client,
        pacer=pacer,
    )


def compare(operations: Operations) -> LedgerComparison:
    """Compare the ledger with Polar."""
    return rebuilder_of(operations).compare(
        operations.rules, now=datetime.now(UTC), on_progress=lambda _done, _whole: None
    )


def rebuild(operations: Operations) -> RebuildResult:
    """Rebuild the ledger."""
    return rebuilder_of(operations).restore(compare(operations), on_progress=lambda _done, _whole: None)


def subjects_in(redis: Redis) -> list[str]:
    """Return the subject of every claim."""
    kinds = ("order", "cycle", "customer", "refund", "dispute", "manual", "revoke", "adjust")
    found = (name.decode() for kind in kinds for name in redis.scan_iter(f"credits:{kind}:*"))
    is_open = (name for name in found if redis.hexists(name, "delivery"))
    return sorted([*is_open, *sealed_subjects(redis)])


def ledger_in(redis: Redis) -> dict[str, Mapping[str, Any]]:
    """Return the standing of every fact, reduced to what Polar records."""
    subjects = subjects_in(redis)
    standings = Ledger(redis, retain=RETAIN).find_many(subjects)
    return {subject: dict(_told(one)) for subject, one in zip(subjects, standings, strict=True)}


def _told(standing: Standing) -> Iterator[tuple[str, Any]]:
    taken = {meter: sum(rules.values()) for meter, rules in standing.taken.items()}
    # A share of whole credits that is rounded down to none is noted, and leaves no event at Polar.
    yield "taken", {meter: units for meter, units in taken.items() if units}
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
    """Store these deliveries and process them at once; return their statuses."""
    leased: tuple[Leased, ...] = operations.store.store_and_lease(deliveries)
    return [one.status for one in operations.granter.run(Lease(deliveries=leased))]


def come(operations: Operations, *bodies: bytes) -> list[Status]:
    """Store and process webhooks one after the other, on a ledger that trusts; return their statuses."""
    named = [(f"msg-{hash(body)}", peek_type(body) or "", body) for body in bodies]
    statuses = []
    for one in named:
        statuses += run(operations, [one])
        trust(operations)
    return statuses


def trust(operations: Operations) -> None:
    """Let the ledger trust its amounts, as ledgers did before Polar's duplicates made them unconfirmed."""
    for subject in subjects_in(operations.redis):
        for name in cast(list[bytes], operations.redis.hkeys(subject)):
            if name.startswith(b"unconfirmed:"):
                operations.redis.hdel(subject, name)
    operations.redis.delete(keys.UNCONFIRMED, keys.MISMATCHES)


def standing_of(operations: Operations, subject: str = order_subject(ORDER)) -> Standing:
    """Return the standing of a fact, by default of the usual order."""
    return operations.ledger.find(subject)


@contextmanager
def refunding_operations_at(redis: Redis) -> Iterator[Operations]:
    """Yield operations whose rules credit 100 and revoke it on a refund, at a Polar with every meter."""
    with operations_at(redis) as opened:
        opened.rules = HUNDRED
        for meter, summed in METERS.items():
            opened.polar.add_meter(meter, summed)
        yield opened


class OldLedger(Ledger):
    """A ledger that answers with standings read earlier."""

    def __init__(self, redis: Redis, standings: list[Standing]) -> None:
        super().__init__(redis, retain=RETAIN)
        self._standings_then = standings

    def find_many(self, subjects: Sequence[str]) -> list[Standing]:
        """Return the earlier standings."""
        return [one for one in self._standings_then if one.subject in subjects]
