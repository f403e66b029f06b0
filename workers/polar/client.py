"""The Polar API over httpx: one request in, an answer or an error of ``workers.errors`` out."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any
from urllib.parse import quote

import httpx

from workers.errors import PolarDeniedError, PolarRefusedError, PolarUnreachableError
from workers.polar.lists import Listing, Page, Row, pages
from workers.polar.responses import error_of
from workers.timings import DEFAULT_TIMINGS, Timings

API_VERSION = "2026-10"  # pinned: Polar's default is older, and moves

_PER_PAGE = 100  # Polar gives no more
_MOST_PAGES = 10  # of a list that is read whole; who has more than a thousand is told so


class Polar:
    """A client for one organization."""

    def __init__(
        self,
        *,
        url: str,
        token: str,
        transport: httpx.BaseTransport | None = None,
        count: Callable[[str], object] = lambda _status: None,
        timings: Timings = DEFAULT_TIMINGS,
    ) -> None:
        self._request_seconds = timings.polar_request_seconds
        self._count = count
        self._client = httpx.Client(
            base_url=url,
            headers={
                "Authorization": f"Bearer {token}",
                "Polar-Version": API_VERSION,
                "User-Agent": "credit-granter",
            },
            timeout=_timeout(timings),
            transport=transport,
            event_hooks={"response": [self._limit]},
        )

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Ingest usage events; returns only if Polar confirms every one of them, else PolarError.

        Source: ``POST /v1/events/ingest``. The batch is one transaction at Polar's side.
        """
        answer = self._request("POST", "/v1/events/ingest", json={"events": list(events)})
        counts = answer if isinstance(answer, dict) else {}
        inserted, duplicates = counts.get("inserted"), counts.get("duplicates", 0)
        if not _is_count(inserted) or not _is_count(duplicates) or inserted + duplicates != len(events):
            raise PolarUnreachableError(
                f"Polar confirmed inserted={_said(inserted)} duplicates={_said(duplicates)} "
                f"of {len(events)} events"
            )

    def try_token(self) -> None:
        """Raise the PolarError that an ingest would meet before its content matters; ingests nothing."""
        # Polar takes an empty batch; a server that minds it has let the token pass all the same.
        with suppress(PolarRefusedError):
            self.ingest([])

    def try_to_create(self) -> None:
        """Raise the PolarError that creating a customer would meet; creates none, as there is no address."""
        with suppress(PolarRefusedError):
            self.create_customer(email="")

    def listed(self, path: str) -> tuple[list[Row], int]:
        """Return the items of a list, and how many more Polar has than were read."""
        items: list[Row] = []
        total = 0
        for page in islice(pages(partial(self.page, Listing(path=path))), _MOST_PAGES):
            items += page.items
            total = page.total
        return items, max(0, total - len(items))

    def page(self, listing: Listing, number: int = 1) -> Page:
        """Return one page of a list; ``workers.polar.lists.pages`` reads them all, and paces the requests."""
        params = {**listing.wanted, "page": number, "limit": _PER_PAGE}
        answer = self._request("GET", listing.path, params=params)
        match answer:
            case {"items": [*rows], "pagination": {"total_count": int(total), "max_page": int(last)}}:
                if all(isinstance(row, dict) for row in rows):
                    return Page(items=rows, total=total, last=last)
        raise PolarUnreachableError(f"Polar's answer for {listing.path} is no list")

    def find(self, path: str) -> Any:
        """Return what is at ``path``, or None where there is nothing."""
        try:
            found = self._request("GET", path)
        except PolarRefusedError:
            return None  # no id that Polar could have given: its own are UUIDs of version 4
        except PolarDeniedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        if found is None:
            raise PolarUnreachableError(f"Polar's answer for {path} is null")
        return found

    def customer(self, customer_id: str) -> Row | None:
        """Return the customer, or None where Polar knows nobody by this id.

        Source: ``GET /v1/customers/{id}``.
        """
        found = self.find(f"/v1/customers/{_step(customer_id)}")
        return None if found is None else _customer(found)

    def customer_by_external_id(self, external_id: str) -> Row | None:
        """Return the customer by the merchant's own id, or None; Polar finds none whose id has a slash.

        Source: ``GET /v1/customers/external/{external_id}``.
        """
        found = self.find(f"/v1/customers/external/{_step(external_id)}")
        return None if found is None else _customer(found)

    def customers_by_email(self, email: str) -> list[Row]:
        """Return the customers with exactly this address, whatever its case; at Polar there is one at most.

        Source: ``GET /v1/customers/``.
        """
        found = self.page(Listing(path="/v1/customers/", wanted={"email": email})).items
        # A server that does not know the filter lists everybody.
        return [_customer(one) for one in found if str(one.get("email")).lower() == email.lower()]

    def create_customer(self, *, email: str, name: str | None = None, external_id: str | None = None) -> Row:
        """Create a customer; PolarRefusedError, in Polar's words, for a bad address or what another has.

        Source: ``POST /v1/customers/``.
        """
        given = {"email": email, "name": name, "external_id": external_id}
        body = {field: value for field, value in given.items() if value is not None}
        return _customer(self._request("POST", "/v1/customers/", success=HTTPStatus.CREATED, json=body))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, method: str, path: str, *, success: int = HTTPStatus.OK, **kwargs: Any) -> Any:
        until = {"until": time.monotonic() + self._request_seconds}
        try:
            response = self._client.request(method, path, extensions=until, **kwargs)
        except httpx.HTTPError as error:
            self._count("none")
            raise PolarUnreachableError(f"no answer from Polar: {_kind(error)}") from error
        self._count(str(response.status_code))
        if response.status_code != success:
            raise error_of(response)
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise PolarUnreachableError("Polar's answer is not JSON") from None

    def _limit(self, response: httpx.Response) -> None:
        if isinstance(response.stream, httpx.SyncByteStream):
            until = response.request.extensions["until"]
            response.stream = _Punctual(response.stream, until, self._request_seconds)


class _Punctual(httpx.SyncByteStream):
    """A body for who waits so long for all of it: a timeout counts from each piece anew."""

    def __init__(self, stream: httpx.SyncByteStream, until: float, seconds: float) -> None:
        self._stream = stream
        self._until = until
        self._seconds = seconds

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            if time.monotonic() > self._until:
                raise httpx.ReadTimeout(f"the answer took longer than {self._seconds:g} s")
            yield piece

    def close(self) -> None:
        self._stream.close()


def _timeout(timings: Timings) -> httpx.Timeout:
    return httpx.Timeout(
        connect=timings.polar_connect_seconds,
        write=timings.polar_write_seconds,
        read=timings.polar_read_seconds,
        pool=timings.polar_pool_seconds,
    )


def _customer(found: Any) -> Row:
    match found:
        case {"id": str()}:
            return dict(found)
    raise PolarUnreachableError("Polar's answer is no customer")


def _step(text: str) -> str:
    """Return ``text`` as one step of a path; left as they are, "." and ".." would be taken for ways."""
    return quote(text, safe="").replace(".", "%2E")


def _said(count: Any) -> str:
    return str(count) if _is_count(count) or count is None else "(no number)"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _kind(error: httpx.HTTPError) -> str:
    # Its text would show the header that is no header: the token.
    silent = isinstance(error, httpx.LocalProtocolError) or not str(error)
    return type(error).__name__ if silent else f"{type(error).__name__}: {error}"
