"""The dates on which something comes again, computed without the core."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count


def months_after(begins: datetime, number: int) -> datetime:
    """Return the same day so many months later, or the last day of a month that is too short."""
    year, month = divmod(begins.year * 12 + begins.month - 1 + number, 12)
    day = min(begins.day, monthrange(year, month + 1)[1])
    return begins.replace(year=year, month=month + 1, day=day)


def repeated(every: str, begins: datetime, ends: datetime) -> Iterator[datetime]:
    """Yield the first date, and each month or week after it until just before ``ends``."""
    for number in count():
        at = begins + timedelta(weeks=number) if every == "week" else months_after(begins, number)
        if at >= ends:
            return
        yield at
