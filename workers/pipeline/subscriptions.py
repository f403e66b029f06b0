"""Looks up subscriptions at Polar before their instalments are given, a hundred customers in one request."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Protocol

from msgspec import Struct, field

from workers.errors import (
    PolarBrokenError,
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
)
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

    def background_delay(self, *, take: bool) -> timedelta:
        """Return how soon a request may be made that leaves room for credits; ``take`` it if that is now."""
        ...

    def pause_for_rate_limit(self, seconds: float, reason: str) -> None:
        """Make every worker wait, because Polar's rate limit was met."""
        ...


class Seen(Struct, frozen=True, kw_only=True):
    """A subscription as Polar shows it (None: Polar has none), and the time by Polar's clock."""

    row: Mapping[str, Any] | None
    at: datetime


class Look(Struct, kw_only=True):
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
            self._read_lists(wanted, look, deadline)
            self._read_singly([id_ for id_ in wanted if id_ not in look.found], look, deadline)
        except _StopLookingError as stop:
            look.why_not = str(stop)
        except PolarError as error:
            look.why_not = self._block(error)
        if look.why_not:
            look.after_seconds = max(_AFTER_ERROR_SECONDS, self._blocked_until - self._now())
        return look

    def _read_lists(self, wanted: Mapping[str, str], look: Look, deadline: float) -> None:
        customers = list(dict.fromkeys(wanted.values()))
        for start in range(0, len(customers), _CUSTOMERS_PER_REQUEST):
            part = dict.fromkeys(customers[start : start + _CUSTOMERS_PER_REQUEST])
            ids = {id_ for id_, customer_id in wanted.items() if customer_id in part}
            if len(ids) > 1:
                self._read_list(list(part), ids, look, deadline)

    def _read_list(self, customers: Sequence[str], ids: set[str], look: Look, deadline: float) -> None:
        def read(number: int) -> Page:
            self._may_ask(deadline)
            return self._polar.page(subscriptions(customers), number)

        for number, page in enumerate(read_pages(read), 1):
            look.found |= {id_: self._seen(row) for row in page.items if (id_ := str(row.get("id"))) in ids}
            # A customer may have thousands. Reading singly what is missing then takes no more requests.
            if len(ids - look.found.keys()) <= page.last - number:
                return

    def _read_singly(self, ids: Sequence[str], look: Look, deadline: float) -> None:
        """Read what lists have left out, whatever its state. One at which Polar fails stops no other."""
        for id_ in ids:
            self._may_ask(deadline)
            try:
                look.found[id_] = self._seen(self._polar.subscription(id_))
            except (PolarBrokenError, PolarRefusedError) as error:
                look.why_not = _text_of(error)

    def _seen(self, row: Mapping[str, Any] | None) -> Seen:
        if self._polar.date is None:
            raise _StopLookingError("Polar's answers have no Date, so nobody knows whether it is time")
        return Seen(row=row, at=self._polar.date)

    def _may_ask(self, deadline: float) -> None:
        now = self._now()
        if now < self._blocked_until:
            raise _StopLookingError(self._blocked_by)
        # Had these requests all of our share, no credits would be sent for as long as instalments are due.
        if now > deadline or self._share.background_delay(take=True):
            raise _StopLookingError("its subscription is not looked up yet")

    def _block(self, error: PolarError) -> str:
        """Make no request for a while; return the reason."""
        text = _text_of(error)
        seconds = _AFTER_ERROR_SECONDS
        if isinstance(error, PolarRateLimitedError):
            self._share.pause_for_rate_limit(error.retry_after_seconds, str(error))
        if isinstance(error, PolarDeniedError):
            seconds = _AFTER_DENIAL_SECONDS
            if error.status == HTTPStatus.FORBIDDEN:
                text += "; give the token the scope subscriptions:read in Polar's dashboard"
        self._blocked_until, self._blocked_by = self._now() + seconds, text
        return text


def _text_of(error: PolarError) -> str:
    return f"its subscription cannot be looked up: {error}"
