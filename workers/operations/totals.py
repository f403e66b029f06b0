"""Adds up, on disk, what millions of deliveries would send."""

from collections.abc import Iterable
from decimal import Decimal

from workers.core.grants import Grant
from workers.core.totals import Totals, add_up
from workers.operations.spool import Spool


def add_up_on_disk(prospects: Iterable[Iterable[Grant]]) -> Totals:
    """Return the totals as ``add_up`` does, with little in memory."""
    spool = Spool()
    return add_up(prospects, granted=spool.mapping(Decimal), taken_back=spool.mapping(Decimal))
