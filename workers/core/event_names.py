"""Names credit events, and says what is kept of a failure until the storefront is told of it."""

from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from workers.core.grants import grant_key

GRANTED, TAKEN_BACK, FAILED = "credit.granted", "credit.taken_back", "credit.failed"

_FAILURE = "failed"  # no subject


class EventName(NamedTuple):
    """What an event is about: a subject and a meter, or a failed delivery and its attempt."""

    subject: str
    rest: str

    @classmethod
    def of_failure(cls, delivery_id: str, attempt: int) -> "EventName":
        """Return the name of the event that tells that an attempt of a delivery failed."""
        return cls.of_id(f"{delivery_id}:{attempt}")

    @classmethod
    def of_id(cls, id_: str) -> "EventName":
        """Return the name of the event about a failure that has this id."""
        return cls(_FAILURE, id_)

    @property
    def is_failure(self) -> bool:
        """Return whether it tells of a failed delivery."""
        return self.subject == _FAILURE

    @property
    def id(self) -> str:
        """Return the event's id, its ``webhook-id``: the grant's key, or the delivery and its attempt."""
        return self.rest if self.is_failure else grant_key(self.subject, self.rest)

    @property
    def delivery_id(self) -> str:
        """Return the failed delivery."""
        return self.rest.rpartition(":")[0]


class Failure(Struct, frozen=True, kw_only=True):
    """How a delivery failed; texts are empty where nothing is known."""

    at: datetime
    reason: str
    subject: str = ""
    order_id: str = ""
    customer_id: str = ""
