"""A client for Polar's API: each request returns its answer, or raises an error of ``workers.errors``."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from workers.errors import PolarDeniedError, PolarRefusedError, PolarUnreachableError
from workers.polar.lists import Listing, Page, Row, read_pages
from workers.polar.responses import error_from_response, read_duplicates, read_object, retry_after
from workers.polar.sums import read_sum
from workers.polar.transport import DeadlineTransport
from workers.timings import DEFAULT_TIMINGS, Timings

API_VERSION = "2026-10"  # pinned: Polar's default is older, and changes

_ENDPOINTS = "/v1/webhooks/endpoints"

_FIRST_EVENTS = datetime(2023, 1, 1, tzinfo=UTC)  # Polar refuses to sum earlier ones
_CLOCK_SLACK = timedelta(days=1)  # this host's clock may be behind

_encode = msgspec.json.Encoder().encode  # in a seventh of the time that httpx takes
_JSON = {"Content-Type": "application/json"}

_MAX_PAGES = 10  # of a list that is read into memory; callers report how many items were not read


class Polar:
    """A client for one organization."""

    def __init__(
        self,
        *,
        url: str,
        token: str,
        transport: httpx.BaseTransport | None = None,
        count: Callable[[str], object] = lambda _status: None,
        note_clock: Callable[[timedelta], object] = lambda _ahead: None,
        wait: Callable[[float], object] | None = None,
        timings: Timings = DEFAULT_TIMINGS,
    ) -> None:
        """Make a client. With ``wait``, which takes seconds, it waits out a 429 once and asks again."""
        self._count = count
        self._wait = wait
        self._note_clock = note_clock
        self.clock_ahead: timedelta | None = None
        """How far our clock was ahead of Polar's at its last answer, to a second; None before that."""
        self.date: datetime | None = None
        """The time by Polar's clock at its last answer, in whole seconds; None before that."""
        self._client = httpx.Client(
            base_url=url,
            headers={
                "Authorization": f"Bearer {token}",
                "Polar-Version": API_VERSION,
                "User-Agent": "credit-granter",
            },
            timeout=_timeout(timings),
            transport=transport or DeadlineTransport(url, seconds=timings.polar_request_seconds),
        )

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Ingest usage events; return how many Polar knew before. PolarError unless it confirms each of them.

        It skips an event whose ``external_id`` it knows, even if the event had another content.

        Source: ``POST /v1/events/ingest``. A request is one transaction at Polar.
        """
        body = _encode({"events": events})
        answer = self._request("POST", "/v1/events/ingest", content=body, headers=_JSON)
        return read_duplicates(answer, sent=len(events))

    def check_token(self) -> None:
        """Raise PolarError if the token may not ingest; ingests nothing."""
        # Polar accepts an empty batch. A server that refuses the batch has already accepted the token.
        with suppress(PolarRefusedError):
            self.ingest([])

    def check_customer_creation(self) -> None:
        """Raise PolarError if the token may not create customers; creates none: the address is empty."""
        with suppress(PolarRefusedError):
            self.create_customer(email="")

    def check_endpoint_creation(self) -> None:
        """Raise PolarError if the token may not create webhook endpoints; creates none: the URL is empty."""
        with suppress(PolarRefusedError):
            self.create_endpoint(url="", events=())

    def check_meter_creation(self) -> None:
        """Raise PolarError if the token may not create meters; creates none: the title is empty."""
        with suppress(PolarRefusedError):
            self.create_meter(title="", name="", summed="")

    def read_list(self, path: str) -> tuple[list[Row], int]:
        """Return up to a thousand items of a list, and how many more it has."""
        items: list[Row] = []
        total = 0
        for page in islice(read_pages(partial(self.page, Listing(path=path))), _MAX_PAGES):
            items += page.items
            total = page.total
        return items, max(0, total - len(items))

    def page(self, listing: Listing, number: int = 1) -> Page:
        """Return one page of a list; ``workers.polar.lists.read_pages`` reads all of them."""
        params = {**listing.query, "page": number, "limit": listing.per_page}
        answer = self._request("GET", listing.path, params=params)
        match answer:
            case {"items": [*rows], "pagination": {"total_count": int(total), "max_page": int(last)}}:
                if all(isinstance(row, dict) for row in rows):
                    return Page(items=rows, total=total, last=last)
        raise PolarUnreachableError(f"Polar's answer for {listing.path} is not a list")

    def find(self, path: str) -> Any:
        """Return the JSON at ``path``, or None if Polar has nothing there."""
        try:
            found = self._request("GET", path)
        except PolarRefusedError:
            return None  # an id that Polar cannot have assigned: its own are UUIDs of version 4
        except PolarDeniedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        if found is None:
            raise PolarUnreachableError(f"Polar's answer for {path} is null")
        return found

    def customer(self, customer_id: str) -> Row | None:
        """Return the customer, or None if Polar has none with this id.

        Source: ``GET /v1/customers/{id}``.
        """
        found = self.find(f"/v1/customers/{_path_segment(customer_id)}")
        return None if found is None else _customer(found)

    def customer_by_external_id(self, external_id: str) -> Row | None:
        """Return the customer with the merchant's own id, or None; Polar cannot find an id with a slash.

        Source: ``GET /v1/customers/external/{external_id}``.
        """
        found = self.find(f"/v1/customers/external/{_path_segment(external_id)}")
        return None if found is None else _customer(found)

    def customer_state(self, customer_id: str) -> Row | None:
        """Return a customer with their balances on all meters, or None; the balances lag by seconds or more.

        Source: ``GET /v1/customers/{id}/state``.
        """
        found = self.find(f"/v1/customers/{_path_segment(customer_id)}/state")
        return None if found is None else _customer(found)

    def external_customer_state(self, external_id: str) -> Row | None:
        """Return the same for the customer with the merchant's own id.

        Source: ``GET /v1/customers/external/{external_id}/state``.
        """
        found = self.find(f"/v1/customers/external/{_path_segment(external_id)}/state")
        return None if found is None else _customer(found)

    def consumed(self, meter_id: str, customer_id: str) -> Decimal:
        """Return what a customer's events add up to on a meter; negative where credit is left.

        It includes the newest events, but neither resets of the meter nor Polar's own credits.

        Source: ``GET /v1/meters/{id}/quantities``.
        """
        answer = self._request(
            "GET",
            f"/v1/meters/{_path_segment(meter_id)}/quantities",
            params={
                "customer_id": customer_id,
                "interval": "year",
                "start_timestamp": _FIRST_EVENTS.isoformat(),
                "end_timestamp": (datetime.now(UTC) + _CLOCK_SLACK).isoformat(),
            },
        )
        return read_sum(answer.get("total") if isinstance(answer, dict) else None)

    def subscription(self, subscription_id: str) -> Row | None:
        """Return the subscription, or None if Polar has none with this id.

        Source: ``GET /v1/subscriptions/{id}``.
        """
        found = self.find(f"/v1/subscriptions/{_path_segment(subscription_id)}")
        return None if found is None else read_object(found, "a subscription")

    def customers_by_email(self, email: str) -> list[Row]:
        """Return the customers with this address, upper or lower case; Polar has at most one.

        Source: ``GET /v1/customers/``.
        """
        found = self.page(Listing(path="/v1/customers/", query={"email": email})).items
        # A server that ignores the filter lists all customers.
        return [_customer(one) for one in found if str(one.get("email")).lower() == email.lower()]

    def create_customer(self, *, email: str, name: str | None = None, external_id: str | None = None) -> Row:
        """Create a customer; PolarRefusedError for a bad address, or an address or id that is taken.

        Source: ``POST /v1/customers/``.
        """
        given = {"email": email, "name": name, "external_id": external_id}
        body = {field: value for field, value in given.items() if value is not None}
        return _customer(self._request("POST", "/v1/customers/", success=HTTPStatus.CREATED, json=body))

    def create_endpoint(self, *, url: str, events: Sequence[str]) -> Row:
        """Create a webhook endpoint; return it with the secret that Polar has made for it.

        PolarRefusedError unless the URL begins with ``https://`` and leads to another host.

        Source: ``POST /v1/webhooks/endpoints``.
        """
        body = {"url": url, "name": "credit-granter", "format": "raw", "events": list(events)}
        return read_object(
            self._request("POST", _ENDPOINTS, success=HTTPStatus.CREATED, json=body), "an endpoint"
        )

    def update_endpoint(self, endpoint_id: str, changes: Mapping[str, Any]) -> Row:
        """Change some fields of a webhook endpoint; return it whole.

        Source: ``PATCH /v1/webhooks/endpoints/{id}``.
        """
        path = f"{_ENDPOINTS}/{_path_segment(endpoint_id)}"
        return read_object(self._request("PATCH", path, json=dict(changes)), "an endpoint")

    def create_meter(self, *, title: str, name: str, summed: str) -> Row:
        """Create a meter that sums the property ``summed`` of the events named ``name``.

        Source: ``POST /v1/meters/``. Its title has at least three characters.
        """
        clause = {"property": "name", "operator": "eq", "value": name}
        body = {
            "name": title,
            "filter": {"conjunction": "and", "clauses": [clause]},
            "aggregation": {"func": "sum", "property": summed},
        }
        answer = self._request("POST", "/v1/meters/", success=HTTPStatus.CREATED, json=body)
        return read_object(answer, "a meter")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, method: str, path: str, *, success: int = HTTPStatus.OK, **kwargs: Any) -> Any:
        response = self._send(method, path, **kwargs)
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and self._wait:
            self._wait(retry_after(response))
            response = self._send(method, path, **kwargs)
        if response.status_code != success:
            raise error_from_response(response)
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise PolarUnreachableError("Polar's answer is not JSON") from None

    def _send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            self._count("none")
            raise PolarUnreachableError(f"no answer from Polar: {_error_text(error)}") from error
        self._count(str(response.status_code))
        self._compare_clocks(response)
        return response

    def _compare_clocks(self, response: httpx.Response) -> None:
        try:
            date = parsedate_to_datetime(response.headers["date"])
            ahead = datetime.now(UTC) - date
        except (KeyError, ValueError, TypeError):
            return  # it has no date, or none that can be read
        self.date, self.clock_ahead = date, ahead
        self._note_clock(ahead)


def _timeout(timings: Timings) -> httpx.Timeout:
    return httpx.Timeout(
        connect=timings.polar_connect_seconds,
        write=timings.polar_write_seconds,
        read=timings.polar_read_seconds,
        pool=timings.polar_pool_seconds,
    )


def _customer(found: Any) -> Row:
    return read_object(found, "a customer")


def _path_segment(text: str) -> str:
    """Return ``text`` as one segment of a path; unquoted, "." and ".." would change the path."""
    return quote(text, safe="").replace(".", "%2E")


def _error_text(error: httpx.HTTPError) -> str:
    # The text of a LocalProtocolError would show the invalid header, which is the token.
    is_hidden = isinstance(error, httpx.LocalProtocolError) or not str(error)
    return type(error).__name__ if is_hidden else f"{type(error).__name__}: {error}"
