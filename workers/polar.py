"""The Polar API over httpx: one request in, an answer or an error of ``workers.errors`` out."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import httpx

from workers.errors import (
    PolarBrokenError,
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)

API_VERSION = "2026-10"  # pinned: Polar's default is older, and moves

# Polar takes half a second for a thousand events; what takes longer than this is not coming. The
# phases together stay within the 20 s that a lease allows for.
_TIMEOUT = httpx.Timeout(connect=4.0, write=5.0, read=10.0, pool=1.0)

_RATE_LIMIT_SECONDS = 60.0  # Polar's Retry-After is always this; used where it is missing
_REFUSED = {400, 413, 422}  # the content
_DENIED = {401, 403, 404}  # token, scopes, or a base URL that is no Polar's
_LONGEST_RETRY_AFTER_SECONDS = 3600  # more than an hour is a mistake somewhere
_PER_PAGE = 100  # Polar gives no more
_MOST_PAGES = 10  # of a list that is read whole; who has more than a thousand is told so
_MOST_WORDS = 300  # of an answer that is shown to operators


class Polar:
    """A client for one organization."""

    def __init__(self, *, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={
                "Authorization": f"Bearer {token}",
                "Polar-Version": API_VERSION,
                "User-Agent": "credit-granter",
            },
            timeout=_TIMEOUT,
            transport=transport,
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
                f"Polar confirmed inserted={inserted!r} duplicates={duplicates!r} of {len(events)} events"
            )

    def try_token(self) -> None:
        """Raise the PolarError that an ingest would meet before its content matters; ingests nothing."""
        # Polar takes an empty batch; a server that minds it has let the token pass all the same.
        with suppress(PolarRefusedError):
            self.ingest([])

    def listed(self, path: str) -> tuple[list[Any], int]:
        """Return the items of a list, and how many more Polar has than were read."""
        items: list[Any] = []
        page, last, total = 0, 1, 0
        while page < min(last, _MOST_PAGES):
            page += 1
            answer = self._request("GET", path, params={"page": page, "limit": _PER_PAGE})
            match answer:
                case {"items": [*found], "pagination": {"total_count": int(total), "max_page": int(last)}}:
                    items += found
                case _:
                    raise PolarUnreachableError(f"Polar's answer for {path} is no list")
        return items, max(0, total - len(items))

    def find(self, path: str) -> Any:
        """Return what is at ``path``, or None where there is nothing."""
        try:
            return self._request("GET", path)
        except PolarRefusedError:
            return None  # no id that Polar could have given: its own are UUIDs of version 4
        except PolarDeniedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def balances(self, customer_id: str) -> dict[str, float]:
        """Return the customer's balance by meter name; positive is credit left.

        Source: ``GET /v1/customer-meters/``.
        """
        answer = self._request(
            "GET", "/v1/customer-meters/", params={"customer_id": customer_id, "limit": 100}
        )
        try:
            return {str(item["meter"]["name"]): float(item["balance"]) for item in answer["items"]}
        except (KeyError, TypeError, ValueError):
            raise PolarUnreachableError("Polar's answer is no list of balances") from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, method: str, path: str, **kwargs: Any) -> Any:
        try:
            response = self._client.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise PolarUnreachableError(f"no answer from Polar: {_kind(error)}") from error
        if response.status_code != HTTPStatus.OK:
            raise error_of(response)
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise PolarUnreachableError("Polar's answer is not JSON") from None


def error_of(response: httpx.Response) -> PolarError:
    """Return what an answer other than 200 means."""
    status = response.status_code
    words = f"Polar answered {status}{_words(response)}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return PolarRateLimitedError(words, retry_after_seconds=_retry_after(response))
    if status in _REFUSED:
        return PolarRefusedError(words, named=_named(response))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return PolarBrokenError(words)
    if status in _DENIED or response.has_redirect_location:
        return PolarDeniedError(words, status=status)
    return PolarUnreachableError(words)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _kind(error: httpx.HTTPError) -> str:
    # Its text would show the header that is no header: the token.
    silent = isinstance(error, httpx.LocalProtocolError) or not str(error)
    return type(error).__name__ if silent else f"{type(error).__name__}: {error}"


def _retry_after(response: httpx.Response) -> float:
    try:
        seconds = float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return _RATE_LIMIT_SECONDS
    return seconds if 0 <= seconds <= _LONGEST_RETRY_AFTER_SECONDS else _RATE_LIMIT_SECONDS


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _words(response: httpx.Response) -> str:
    body = _body(response)
    words = body.get("error_description") or body.get("detail") or body.get("error") or ""
    if isinstance(words, list):
        words = "; ".join(_problem(one) for one in words if isinstance(one, dict))
    return f": {_storable(str(words))}" if words else ""


def _named(response: httpx.Response) -> dict[int, str]:
    """Return what Polar says of each event that it names: ``loc`` is ["body", "events", 37, ...]."""
    named: dict[int, str] = {}
    detail = _body(response).get("detail")
    for one in detail if isinstance(detail, list) else []:
        match one:
            case {"loc": ["body", "events", int(index), *_]}:
                named.setdefault(index, _storable(_problem(one)))
    return named


def _storable(words: str) -> str:
    """Bound what is not ours; half a surrogate pair would be no text for Redis."""
    return words[:_MOST_WORDS].encode(errors="replace").decode()


def _problem(one: Mapping[str, Any]) -> str:
    loc = one.get("loc")
    place = ".".join(str(step) for step in loc[3:]) if isinstance(loc, list) else ""
    return f"{place}: {one.get('msg')}" if place else str(one.get("msg"))
