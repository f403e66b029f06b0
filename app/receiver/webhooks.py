"""``POST /webhooks/polar``: read the body, verify it, accept it, answer."""

from collections.abc import Callable
from contextlib import suppress

import structlog
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.receiver.refusal_log import RefusalLog
from app.receiver.signature import InvalidSignatureError, StaleSignatureError, Verifier
from app.receiver.uploads import BodyTooLargeError, IncompleteBodyError, Uploads
from workers.core.clocks import describe_difference
from workers.errors import StoreUnavailableError
from workers.store import counts
from workers.store.arrivals import ArrivalNotes
from workers.store.counts import Tally
from workers.store.intake import Disposition, Intake, RawDelivery

log = structlog.get_logger(__name__)

_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_POLARS_AGENT = "polar.sh"

_RETRY_SECONDS = 5  # for other clients; Polar retries on its own schedule


class WebhookEndpoint:
    """An ASGI application that answers Polar's webhooks and counts its answers; no middleware wraps it."""

    def __init__(
        self,
        verifier: Verifier,
        intake: Intake,
        tally: Tally,
        *,
        notes: ArrivalNotes,
        on_accepted: Callable[[str], None] = lambda _id: None,
    ) -> None:
        self._verifier = verifier
        self._intake = intake
        self._uploads = Uploads()
        self._refusals = RefusalLog()
        self._tally = tally
        self._notes = notes
        self._on_accepted = on_accepted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = await self._answer(Headers(scope=scope), receive)
        await answer(scope, receive, send)

    async def _answer(self, headers: Headers, receive: Receive) -> Response:
        """Return 202 for a verified delivery that was accepted, else an error that says what is wrong."""
        try:
            body = await self._uploads.read(headers, receive)
            delivery_id = self._verifier.verify(headers, body)
        except BodyTooLargeError as error:
            return self._refuse(413, "body_too_large", str(error), close=True)
        except IncompleteBodyError:
            detail = "the body is incomplete: its sender closed the connection or took too long"
            return self._refuse(400, "incomplete", detail, close=True)
        except InvalidSignatureError as error:
            if _looks_like_polars(headers):
                self._notes.add_refused(str(error))
            is_stale = isinstance(error, StaleSignatureError)
            clock = await self._clock_hint() if is_stale and self._refusals.is_due(str(error)) else None
            return self._refuse(403, "invalid_signature", str(error), clock=clock)
        self._notes.add_valid()
        return await self._accept(RawDelivery(id=delivery_id, body=body))

    async def _accept(self, delivery: RawDelivery) -> Response:
        try:
            disposition = await self._intake.accept(delivery)
        except StoreUnavailableError as error:
            reason = str(error)
            log.error("cannot store delivery", delivery=delivery.id, reason=reason)  # noqa: TRY400 - not our bug
            return self._refuse(503, "unavailable", "deliveries cannot be stored now; send this one again")
        return self._confirm(delivery.id, disposition)

    def _confirm(self, delivery_id: str, disposition: Disposition) -> Response:
        if disposition is Disposition.IGNORED:
            self._tally.add(counts.WEBHOOKS, "other", disposition.value)
        else:
            log.info(disposition.value, delivery=delivery_id)
        if disposition is Disposition.ACCEPTED:
            self._on_accepted(delivery_id)
        return JSONResponse({"delivery": delivery_id, "disposition": disposition}, status_code=202)

    async def _clock_hint(self) -> str | None:
        """Return how this host's clock differs from Redis's, if it does: it may be the wrong one."""
        with suppress(StoreUnavailableError):
            return describe_difference(await self._intake.clock_ahead(), "Redis's")
        return None

    def _refuse(
        self, status: int, error: str, detail: str, *, close: bool = False, clock: str | None = None
    ) -> Response:
        self._tally.add(counts.REJECTED_REQUESTS, error)
        headers = {"Connection": "close"} if close else {}
        if status == 503:  # noqa: PLR2004 - the number is the name
            headers["Retry-After"] = str(_RETRY_SECONDS)
        else:
            self._refusals.add(detail, clock=clock)
        return JSONResponse({"error": error, "detail": detail}, status_code=status, headers=headers)


def _looks_like_polars(headers: Headers) -> bool:
    """Return whether a refused request may be Polar's. Anybody can forge it, so health ignores it."""
    is_webhook = all(name in headers for name in _HEADERS)
    return is_webhook and headers.get("user-agent", "").startswith(_POLARS_AGENT)
