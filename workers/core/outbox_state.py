"""Decides whether the storefront takes credit events, from what the outbox holds."""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from config.durations import format_duration
from config.wording import format_count

LONGEST_REFUSAL = timedelta(hours=1)
"""A deployment of the storefront fits into this; one that refuses for longer needs a person."""


class EventStatus(StrEnum):
    """What became of a credit event."""

    WAITING = "waiting"
    """It is to be sent, or is being sent, for the first time."""
    REFUSED = "refused"
    """The storefront has not taken it yet: it is sent again."""
    GIVEN_UP = "given_up"
    """It is not sent any more, unless a person sends it again."""
    SENT = "sent"
    """The storefront has taken it."""


class OutboxState(Struct, frozen=True, kw_only=True):
    """All credit events together.

    ``waiting`` counts those that the storefront has not taken, and ``oldest`` says since when the oldest of
    them has been due. ``error`` is why the one that has been refused for longest was refused the last time.
    """

    waiting: int
    oldest: datetime | None = None
    given_up: int = 0
    last_sent: datetime | None = None
    error: str = ""

    def problem(self, now: datetime) -> str:
        """Return that nothing is taken any more, and why; empty if something was within the last hour."""
        moments = [one for one in (self.oldest, self.last_sent) if one is not None]
        if self.oldest is None or any(now - one < LONGEST_REFUSAL for one in moments):
            return ""
        age = format_duration(now - self.oldest)
        wait = f"{_events(self.waiting)} waiting, the oldest for {age}"
        if not self.error:
            return f"no process sends credit events: {wait} (start credits work, or credits up)"
        return f"the storefront takes no credit events: {self.error}; {wait} (see credits outbox)"

    def describe(self) -> str:
        """Return what waits and what was given up."""
        waiting = f"{_events(self.waiting)} waiting" if self.waiting else "none is waiting"
        refusal = f", one of them refused: {self.error}" if self.error else ""
        given_up = f"; {self.given_up} given up (see credits outbox --failed)" if self.given_up else ""
        return waiting + refusal + given_up


def _events(count: int) -> str:
    return format_count(count, "credit event")
