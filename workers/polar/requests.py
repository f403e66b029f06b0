"""Requests to Polar: each returns the JSON of its answer, or raises an error of ``workers.errors``."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any

import httpx

from workers.errors import PolarDeniedError, PolarRefusedError, PolarUnreachableError
from workers.polar.lists import Listing, Page, Row, read_pages
from workers.polar.responses import error_from_response, retry_after
from workers.polar.transport import DeadlineTransport
from workers.timings import DEFAULT_TIMINGS, Timings

API_VERSION = "2026-10"  # pinned: Polar's default is older, and changes

_MAX_PAGES = 10  # of a list that is read into memory; callers report how many items were not read


class PolarRequests:
    """Asks for one organization, counts the answers, and compares the clocks."""

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


def _error_text(error: httpx.HTTPError) -> str:
    # The text of a LocalProtocolError would show the invalid header, which is the token.
    is_hidden = isinstance(error, httpx.LocalProtocolError) or not str(error)
    return type(error).__name__ if is_hidden else f"{type(error).__name__}: {error}"
