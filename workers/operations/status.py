"""Reads how the whole service is: every check, and how many deliveries there are."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from config.wording import format_count
from workers.core.delivery import Status
from workers.monitoring.health import Check, all_well, examine
from workers.store.arrivals import arrivals
from workers.store.clock import redis_now
from workers.store.outbox_view import OutboxView
from workers.store.queue import queue_length
from workers.store.stores import Stores
from workers.store.unconfirmed import MISMATCH_ADVICE, Doubts, Mismatch

_MOST_LISTED = 20  # mismatches; a rebuild ends them all


class ServiceState(Struct, frozen=True, kw_only=True):
    """The state of the whole service."""

    checks: list[Check]
    """Those of ``/healthz``, and ``webhooks``."""
    failed: Check
    amounts: Check
    events: Check
    counts: dict[Status, int]
    """How many deliveries are stored, by status."""
    grants: int
    """How many Polar has confirmed."""
    unconfirmed: int
    mismatches: Sequence[Mismatch]
    queued_jobs: int
    last_received: datetime | None

    @property
    def all_checks(self) -> list[Check]:
        """Return every check."""
        return [*self.checks, self.failed, self.amounts, self.events]

    @property
    def is_well(self) -> bool:
        """Return whether every check passed."""
        return all_well(self.all_checks)


def read_state(held: Stores) -> ServiceState:
    """Run every check, and count what is stored. Raises RedisError if Redis does not answer."""
    came, doubts = arrivals(held.redis), Doubts(held.redis)
    counts = held.deliveries.count_by_status()
    webhooks = Check(name="webhooks", ok=not came.are_refused, detail=came.describe())
    return ServiceState(
        checks=[*examine(held.redis), webhooks],
        failed=Check(name="failed", ok=not counts[Status.FAILED], detail=f"{counts[Status.FAILED]} failed"),
        amounts=_amounts_check(doubts),
        events=_events_check(held),
        counts=counts,
        grants=held.ledger.count_grants(),
        unconfirmed=doubts.count_unconfirmed(),
        mismatches=doubts.mismatches(_MOST_LISTED),
        queued_jobs=queue_length(held.redis),
        last_received=held.deliveries.last_received(),
    )


def _amounts_check(doubts: Doubts) -> Check:
    """Check that Polar has no other amounts than the ledger, as far as that is known."""
    differing, waiting = doubts.count_mismatches(), doubts.count_unconfirmed()
    if differing:
        detail = f"{format_count(differing, 'grant')} not the same at Polar: {MISMATCH_ADVICE}"
    else:
        detail = f"{format_count(waiting, 'grant')} to be read back from Polar" if waiting else "as at Polar"
    return Check(name="amounts", ok=not differing, detail=detail)


def _events_check(held: Stores) -> Check:
    """Check that the storefront takes credit events, if it is told of any."""
    if not held.ledger.tells_storefront:
        return Check(name="events", ok=True, detail="not sent: CREDITS_EVENTS_URL is not set")
    state = OutboxView(held.redis).state()
    problem = state.problem(redis_now(held.redis))
    return Check(name="events", ok=not problem, detail=problem or state.describe())
