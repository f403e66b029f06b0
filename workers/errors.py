"""Every error that the service raises, in one tree.

::

    GranterError
    ├── UnreadablePayloadError  a stored body is not a webhook of its type: fail the delivery
    ├── StoreUnavailableError   Redis is down or refuses writes: answer 503
    └── PolarError              Polar did not confirm a request
        ├── PolarUnreachableError   no answer, a gateway's error, or an unreadable answer: pause
        ├── PolarBrokenError        500, by an outage or by one event: halve the batch, then pause or retry
        ├── PolarRateLimitedError   429: pause for its Retry-After
        ├── PolarDeniedError        401, 403, 404, a redirect: wrong token, scope or server; pause
        └── PolarRefusedError       400, 413, 422: fail the deliveries whose events it names

A pause makes all workers wait. When credits are sent, ``workers.pipeline.retries`` decides what follows each
Polar error. Commands that only read from Polar use ``workers.operations.pacing``, which retries for a while.
"""

from collections.abc import Mapping


class GranterError(Exception):
    """The base of every error: a fault of this service, or of one that it depends on."""


class UnreadablePayloadError(GranterError):
    """A stored body cannot be read as a webhook of its type."""


class StoreUnavailableError(GranterError):
    """Redis is down, or refuses writes."""


class PolarError(GranterError):
    """Polar did not confirm a request. Operators see the error's text."""


class PolarUnreachableError(PolarError):
    """Polar sent no answer, or one that cannot be read."""


class PolarBrokenError(PolarError):
    """Polar answered 500: an outage, or one event that it cannot handle."""


class PolarRateLimitedError(PolarError):
    """Polar answered 429: the organization has reached its rate limit."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class PolarDeniedError(PolarError):
    """Polar refuses the token, its scopes or the address. A person must fix that."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status  # 401: the token; 403: its scopes; anything else: the address


class PolarRefusedError(PolarError):
    """Polar refuses the content. ``named`` maps the index of an event to Polar's message about it."""

    def __init__(self, message: str, *, named: Mapping[int, str]) -> None:
        super().__init__(message)
        self.named = named
