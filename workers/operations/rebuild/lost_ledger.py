"""Finds out whether Redis lost the ledger: if so, nothing may be granted before ``credits rebuild``."""

from datetime import datetime
from functools import partial

from workers.core.usage_events import GRANTED_BY, RecordedGrant, is_marked_ours, read_usage_event
from workers.operations.pacing import Pacer
from workers.polar.client import Polar
from workers.polar.lists import events
from workers.polar.responses import needs
from workers.store.ledger import Ledger

LEDGER_LOST = (
    "the ledger lacks our first credits at Polar: run credits rebuild first (otherwise orders are claimed "
    "again, and refunds take back the same credits twice)"
)


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
