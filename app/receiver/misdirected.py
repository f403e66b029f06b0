"""Answers webhooks that are sent to a wrong path: 404, counted and logged, so that the mistake is noticed.

Polar disables an endpoint after ten failed webhooks in a row, and a plain 404 leaves no trace here.
"""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.receiver.refusal_log import RefusalLog
from workers.store import counts
from workers.store.counts import Tally

_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_MOST_CHARACTERS = 100  # of a path in the log
_REASON = "a webhook came to a wrong path: correct the URL of the endpoint at Polar"


def is_webhook(scope: Scope) -> bool:
    """Return whether a request is a POST with the headers of Standard Webhooks."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    headers = Headers(scope=scope)
    return all(name in headers for name in _HEADERS)


class MisdirectedWebhooks:
    """An ASGI application for webhooks at any path but the right one."""

    def __init__(self, right_path: str, tally: Tally) -> None:
        self._right_path = right_path
        self._tally = tally
        self._refusals = RefusalLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404 without reading the body."""
        self._tally.add(counts.REJECTED_REQUESTS, "wrong_path")
        self._refusals.add(_REASON, path=scope["path"][:_MOST_CHARACTERS], expected=self._right_path)
        detail = f"no webhooks are received here: send them to {self._right_path}"
        answer = JSONResponse(
            {"error": "wrong_path", "detail": detail}, status_code=404, headers={"Connection": "close"}
        )
        await answer(scope, receive, send)
