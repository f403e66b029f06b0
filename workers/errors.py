"""The one tree of faults.

::

    GranterError
    ├── UnreadablePayloadError a stored body is no webhook that we can read: park
    ├── StoreUnavailableError  Redis is away or takes no writes: 503
    └── PolarError             Polar did not confirm what it was asked
        ├── PolarUnreachableError   no answer, a gateway's error, an answer not understood: pause all
        ├── PolarBrokenError        500: the world or one event; halve, then pause or try again
        ├── PolarRateLimitedError   429: pause all for its Retry-After
        ├── PolarDeniedError        401, 403, 404, a redirect: token, scope or server is wrong: pause all
        └── PolarRefusedError       400, 413, 422: the content of some event: park what it names

``workers.pipeline.retries`` decides what each Polar error leads to when credit is sent. Commands that only
read have a policy of their own: ``workers.operations.pacing`` asks again, and gives up after a while.
"""

from collections.abc import Mapping


class GranterError(Exception):
    """Any fault of ours or of the services that we stand on."""


class UnreadablePayloadError(GranterError):
    """A stored body cannot be read as the event that its type says it is."""


class StoreUnavailableError(GranterError):
    """Redis is away, or refuses writes."""


class PolarError(GranterError):
    """Polar did not confirm what it was asked; its text is shown to operators."""


class PolarUnreachableError(PolarError):
    """No answer came, or none that can be understood."""


class PolarBrokenError(PolarError):
    """Polar answered 500: an outage, or one event that it stumbles over."""


class PolarRateLimitedError(PolarError):
    """Polar answered 429: the organization's budget of requests is spent."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class PolarDeniedError(PolarError):
    """Polar refuses the token, its scopes or the address: nothing can be granted until that is mended."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status  # 401 is the token, 403 its scopes, the rest the address


class PolarRefusedError(PolarError):
    """Polar refuses the content; ``named`` maps an event's index in the request to Polar's words."""

    def __init__(self, message: str, *, named: Mapping[int, str]) -> None:
        super().__init__(message)
        self.named = named
