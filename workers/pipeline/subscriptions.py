"""Looks up subscriptions at Polar before their instalments are given, a hundred customers in one request."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol

from workers.errors import PolarDeniedError, PolarError, PolarRateLimitedError
from workers.polar.lists import Listing, Page, read_pages, subscriptions

_CUSTOMERS_PER_REQUEST = 100  # each takes 49 characters of the URL, of which servers take about 8,000
_LOOKING_SECONDS = 5.0  # for one lease, so that its grants are still sent within it
_AFTER_ERROR_SECONDS = 10.0
_AFTER_DENIAL_SECONDS = 60.0  # somebody must change the token first


class SubscriptionPolar(Protocol):
    """Polar's API for subscriptions."""

    date: datetime | None
    """The time by Polar's clock at its last answer."""

    def page(self, listing: Listing, number: int = 1) -> Page:
        """Return one page of a list."""
        ...

    def subscription(self, subscription_id: str) -> dict[str, Any] | None:
        """Return the subscription with this id, or None."""
        ...


class Share(Protocol):
    """Our share of Polar's rate limit."""

    def take_request(self) -> bool:
        """Take one request; return False if none may be made now."""
        ...

    def pause_for_rate_limit(self, seconds: float, reason: str) -> None:
        """Make every worker wait, because Polar's rate limit was met."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A subscription as Polar shows it (None: Polar has none), and the time by Polar's clock."""

    row: Mapping[str, Any] | None
    at: datetime


@dataclass(kw_only=True, slots=True)
class Look:
    """What a look at Polar has found, by subscription."""

    found: dict[str, Seen] = field(default_factory=dict)
    why_not: str = ""
    """Why the others were not looked up; empty if all were."""
    after_seconds: float = _AFTER_ERROR_SECONDS
    """How soon to look for them again."""


class _StopLookingError(Exception):
    """No further request may be made for this lease."""


class SubscriptionFinder:
    """Finds subscriptions. It remembers none: a state counts for the lease that it was read for."""

    def __init__(
        self, polar: SubscriptionPolar, share: Share, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._polar = polar
        self._share = share
        self._now = now
        self._blocked_until = float("-inf")
        self._blocked_by = ""

    def find(self, wanted: Mapping[str, str]) -> Look:
        """Return these subscriptions, which ``wanted`` maps to their customers."""
        look = Look()
        deadline = self._now() + _LOOKING_SECONDS
        try:
            customers = list(dict.fromkeys(wanted.values()))
            for start in range(0, len(customers), _CUSTOMERS_PER_REQUEST):
                part = customers[start : start + _CUSTOMERS_PER_REQUEST]
                ids = [id_ for id_, customer_id in wanted.items() if customer_id in set(part)]
                for id_, seen in self._look_up(ids, part, deadline):
                    look.found[id_] = seen
        except _StopLookingError as stop:
            look.why_not = str(stop)
        except PolarError as error:
            look.why_not = self._block(error)
        if look.why_not:
            look.after_seconds = max(_AFTER_ERROR_SECONDS, self._blocked_until - self._now())
        return look

    def _look_up(
        self, ids: Sequence[str], customers: Sequence[str], deadline: float
    ) -> Iterator[tuple[str, Seen]]:
        left = dict.fromkeys(ids)
        if len(ids) > 1:
            for id_, seen in self._listed(customers, deadline):
                if id_ in left:
                    del left[id_]
                    yield id_, seen
                if not left:
                    return
        for id_ in left:  # a list may leave some out, whatever their state
            self._may_ask(deadline)
            yield id_, self._seen(self._polar.subscription(id_))

    def _listed(self, customers: Sequence[str], deadline: float) -> Iterator[tuple[str, Seen]]:
        def read(number: int) -> Page:
            self._may_ask(deadline)
            return self._polar.page(subscriptions(customers), number)

        for page in read_pages(read):
            for row in page.items:
                yield str(row.get("id")), self._seen(row)

    def _seen(self, row: Mapping[str, Any] | None) -> Seen:
        if self._polar.date is None:
            raise _StopLookingError("Polar's answers have no Date, so nobody knows whether it is time")
        return Seen(row=row, at=self._polar.date)

    def _may_ask(self, deadline: float) -> None:
        now = self._now()
        if now < self._blocked_until:
            raise _StopLookingError(self._blocked_by)
        if now > deadline or not self._share.take_request():
            raise _StopLookingError("its subscription is not looked up yet")

    def _block(self, error: PolarError) -> str:
        """Make no request for a while; return the reason."""
        text = f"its subscription cannot be looked up: {error}"
        seconds = _AFTER_ERROR_SECONDS
        if isinstance(error, PolarRateLimitedError):
            self._share.pause_for_rate_limit(error.retry_after_seconds, str(error))
        if isinstance(error, PolarDeniedError):
            seconds = _AFTER_DENIAL_SECONDS
            if error.status == HTTPStatus.FORBIDDEN:
                text += "; give the token the scope subscriptions:read in Polar's dashboard"
        self._blocked_until, self._blocked_by = self._now() + seconds, text
        return text
