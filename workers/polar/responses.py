"""What an answer of Polar's that is no success means: its place in ``workers.errors``, and its words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

_RATE_LIMIT_SECONDS = 60.0  # Polar's Retry-After is always this; used where it is missing
_REFUSED = {400, 413, 422}  # the content
_DENIED = {401, 403, 404}  # token, scopes, or a base URL that is no Polar's
_LONGEST_RETRY_AFTER_SECONDS = 3600  # more than an hour is a mistake somewhere
_MOST_WORDS = 300  # of an answer that is shown to operators


def error_of(response: httpx.Response) -> PolarError:
    """Return what an answer that is no success means."""
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


@contextmanager
def needs(scope: str) -> Iterator[None]:
    """Name ``scope`` in the error of a request in the block that the token may not make."""
    try:
        yield
    except PolarDeniedError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        words = f"{error}; give the token the scope {scope} in Polar's dashboard"
        raise PolarDeniedError(words, status=error.status) from None


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
