"""Reads Polar's answers; maps error responses to ``workers.errors``, with a message for operators."""

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
from workers.timings import DEFAULT_TIMINGS

_RATE_LIMIT_SECONDS = 60.0  # used without a Retry-After header; Polar's is always this
_REFUSED = {400, 413, 422}  # because of the content
_DENIED = {401, 403, 404}  # because of the token, its scopes, or a base URL that is not Polar's
_LONGEST_RETRY_AFTER_SECONDS = DEFAULT_TIMINGS.longest_retry_after_seconds
_MAX_CHARACTERS = 300  # of Polar's text in a message for operators


def error_from_response(response: httpx.Response) -> PolarError:
    """Return the error for a response that is not a success."""
    status = response.status_code
    text = f"Polar answered {status}{_error_text(response)}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return PolarRateLimitedError(text, retry_after_seconds=retry_after(response))
    if status in _REFUSED:
        return PolarRefusedError(text, named=_refused_events(response))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return PolarBrokenError(text)
    if status in _DENIED or response.has_redirect_location:
        return PolarDeniedError(text, status=status)
    return PolarUnreachableError(text)


@contextmanager
def needs(scope: str) -> Iterator[None]:
    """Run requests that need ``scope``; if Polar answers 403, the error names it."""
    try:
        yield
    except PolarDeniedError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        text = f"{error}; give the token the scope {scope} in Polar's dashboard"
        raise PolarDeniedError(text, status=error.status) from None


def read_duplicates(answer: Any, *, sent: int) -> int:
    """Return how many of the events sent Polar knew before; PolarUnreachableError unless it confirms each."""
    counts = answer if isinstance(answer, dict) else {}
    inserted, duplicates = counts.get("inserted"), counts.get("duplicates", 0)
    if not _is_count(inserted) or not _is_count(duplicates) or inserted + duplicates != sent:
        raise PolarUnreachableError(
            f"Polar confirmed inserted={_count_text(inserted)} duplicates={_count_text(duplicates)} "
            f"of {sent} events"
        )
    return int(duplicates)


def read_object(found: Any, what: str) -> dict[str, Any]:
    """Return an answer that is one thing with an id; ``what`` names it if it is not."""
    match found:
        case {"id": str()}:
            return dict(found)
    raise PolarUnreachableError(f"Polar's answer is not {what}")


def _count_text(count: Any) -> str:
    return str(count) if _is_count(count) or count is None else "(not a number)"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def retry_after(response: httpx.Response) -> float:
    """Return for how many seconds a 429 asks to wait; a minute if it does not say."""
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


def _error_text(response: httpx.Response) -> str:
    body = _body(response)
    text = body.get("error_description") or body.get("detail") or body.get("error") or ""
    if isinstance(text, list):
        text = "; ".join(_problem_text(one) for one in text if isinstance(one, dict))
    return f": {_clean(str(text))}" if text else ""


def _refused_events(response: httpx.Response) -> dict[int, str]:
    """Return Polar's reasons by the index of the event: ``loc`` is ["body", "events", 37, ...]."""
    named: dict[int, str] = {}
    detail = _body(response).get("detail")
    for one in detail if isinstance(detail, list) else []:
        match one:
            case {"loc": ["body", "events", int(index), *_]}:
                named.setdefault(index, _clean(_problem_text(one)))
    return named


def _clean(text: str) -> str:
    """Return a text of bounded length that Redis can store, without lone surrogates."""
    return text[:_MAX_CHARACTERS].encode(errors="replace").decode()


def _problem_text(one: Mapping[str, Any]) -> str:
    loc = one.get("loc")
    place = ".".join(str(step) for step in loc[3:]) if isinstance(loc, list) else ""
    return f"{place}: {one.get('msg')}" if place else str(one.get("msg"))
