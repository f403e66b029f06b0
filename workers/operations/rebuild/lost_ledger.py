"""Finds out whether Redis lost the ledger: if so, nothing may be granted before ``credits rebuild``."""

from datetime import UTC, datetime, timedelta
from functools import partial

from msgspec import Struct

from config.log import get_log
from workers.core.recorded_grants import RecordedGrant
from workers.core.usage_events import GRANTED_BY, is_marked_ours, read_usage_event
from workers.errors import PolarDeniedError, PolarError
from workers.operations.pacing import Pacer
from workers.polar.client import Polar
from workers.polar.lists import events
from workers.polar.responses import needs
from workers.store.ledger import Ledger
from workers.store.losses import LOST, TO_DO, ComparisonSchedule

log = get_log(__name__)

LEDGER_LOST = (
    "the ledger lacks our first credits at Polar: run credits rebuild first (otherwise orders are claimed "
    "again, and refunds take back the same credits twice)"
)

_EVERY = timedelta(hours=1)
_AFTER_ERROR = timedelta(minutes=5)


class LostLedgerWatch(Struct, frozen=True, kw_only=True):
    """Compares the ledger with Polar every hour, and within seconds of a Redis that was emptied."""

    schedule: ComparisonSchedule
    ledger: Ledger
    polar: Polar
    pacer: Pacer

    def run_if_due(self) -> None:
        """Mark and log it if the ledger was lost."""
        if not self.schedule.begin(every=_EVERY):
            return
        try:
            is_lost = is_ledger_lost(self.ledger, self.polar, self.pacer, now=datetime.now(UTC))
        except PolarError as error:
            log.warning("ledger not compared with Polar", reason=str(error))
            if not isinstance(error, PolarDeniedError):  # a person must act first
                self.schedule.repeat(within=_AFTER_ERROR)
            return
        if is_lost:
            self.schedule.mark_loss()
            log.error(LOST, lost="our first credits at Polar", to_do=TO_DO)


def is_ledger_lost(ledger: Ledger, polar: Polar, pacer: Pacer, *, now: datetime) -> bool:
    """Return whether any of our first usage events at Polar was never claimed in this ledger.

    Take-backs do not count, because a rebuild leaves out those without a grant.
    """
    listing = events(metadata={"granted_by": GRANTED_BY}, before=now)
    with needs("events:read"):
        page = pacer.ask(partial(polar.page, listing))
    usage_events = [read_usage_event(row) for row in page.items if is_marked_ours(row)]
    subjects = [
        one.grant.subject for one in usage_events if isinstance(one, RecordedGrant) and one.grant.units > 0
    ]
    return any(standing.own is None for standing in ledger.find_many(subjects))
