"""Defines what an event in Polar's list records: a grant of ours, or something that we cannot have sent."""

from datetime import datetime

from msgspec import Struct

from workers.core.grants import Grant


class RecordedGrant(Struct, frozen=True, kw_only=True):
    """A grant read back from Polar. It has one part, not revocable, whose name lists all its rules.

    An order's grant with instalments may have two: the one that comes again, and the rest.
    """

    event_id: str
    grant: Grant
    at: datetime


class InvalidUsageEvent(Struct, frozen=True, kw_only=True):
    """An event that is marked as ours, but that we cannot have sent."""

    event_id: str
    key: str
    why: str
