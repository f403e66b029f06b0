"""Looks up the customers of offers at Polar, within our share of its rate limit."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from workers.core.offers import OfferRequest
from workers.errors import PolarDeniedError, PolarError, PolarRateLimitedError

_KEPT_SECONDS = 600.0  # a customer's ids do not change, but a customer may be deleted
_MOST_KEPT = 10_000
_LOOKING_SECONDS = 5.0  # for one lease, so that its grants are still sent within it

Value = TypeVar("Value")

Found = Mapping[str, str | None]
"""The customer's id by the request's delivery; None if Polar has no such customer."""


class CustomerPolar(Protocol):
    """Polar's API for customers."""

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        """Return the customer with this id, or None."""
        ...

    def customer_by_external_id(self, external_id: str) -> dict[str, Any] | None:
        """Return the customer with the merchant's own id, or None."""
        ...


class Share(Protocol):
    """Our share of Polar's rate limit."""

    def take_request(self) -> bool:
        """Take one request; return False if none may be made now."""
        ...

    def pause_for_rate_limit(self, seconds: float, reason: str) -> None:
        """Make every worker wait, because Polar's rate limit was met."""
        ...


class OfferCustomers:
    """Finds the customers of offers, and remembers them for ten minutes.

    A lookup that fails ends the looking, because Polar is probably away. Next time it comes last, because it
    may be the only one that fails.
    """

    def __init__(self, polar: CustomerPolar, share: Share, now: Callable[[], float] = time.monotonic) -> None:
        self._polar = polar
        self._share = share
        self._now = now
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._failed: OrderedDict[str, float] = OrderedDict()

    def find(self, requests: Iterable[OfferRequest]) -> tuple[Found, str]:
        """Return the customers that were found, and why the others were not looked up, if any were not.

        PolarDeniedError if the token may not read customers.
        """
        found: dict[str, str | None] = {}
        deadline = self._now() + _LOOKING_SECONDS
        for request in sorted(requests, key=lambda one: self._failed.get(_name_in(one), float("-inf"))):
            name = _name_in(request)
            if (known := self._remembered(name)) is not None:
                found[request.delivery_id] = known
                continue
            if self._now() > deadline or not self._share.take_request():
                return found, "its customer is not looked up yet"
            try:
                found[request.delivery_id] = self._look_up(request, name)
            except PolarRateLimitedError as error:
                self._share.pause_for_rate_limit(error.retry_after_seconds, str(error))
                return found, str(error)
            except PolarDeniedError:
                raise
            except PolarError as error:
                _keep(self._failed, name, self._now())
                return found, f"its customer cannot be looked up: {error}"
        return found, ""

    def _remembered(self, name: str) -> str | None:
        customer_id, at = self._known.get(name, ("", float("-inf")))
        return customer_id if self._now() - at < _KEPT_SECONDS else None

    def _look_up(self, request: OfferRequest, name: str) -> str | None:
        row = self._ask(request)
        self._failed.pop(name, None)
        if row is None:
            return None
        customer_id = str(row["id"])
        _keep(self._known, name, (customer_id, self._now()))
        return customer_id

    def _ask(self, request: OfferRequest) -> dict[str, Any] | None:
        if request.customer_id is None:
            return self._polar.customer_by_external_id(request.external_customer_id or "")
        try:
            return self._polar.customer(request.customer_id)
        except PolarDeniedError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            return {"id": request.customer_id}  # the token may only ingest: Polar checks the id then


def _name_in(request: OfferRequest) -> str:
    return request.customer_id or f"external:{request.external_customer_id}"


def _keep(kept: OrderedDict[str, Value], name: str, value: Value) -> None:
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > _MOST_KEPT:
        kept.popitem(last=False)
