"""``POST /webhooks/polar``: read, verify, accept, answer."""

import structlog
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.receiver.refusals import Refusals
from app.receiver.signature import InvalidSignatureError, Verifier
from app.receiver.uploads import BodyTooLargeError, IncompleteBodyError, Uploads
from workers.errors import StoreUnavailableError
from workers.store.counts import Tally
from workers.store.intake import Disposition, Intake, RawDelivery

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 5  # Polar has a schedule of its own; this is for whoever else asks


class WebhookEndpoint:
    """Answers Polar's webhooks, and counts what it answered; an ASGI application that nothing wraps."""

    def __init__(self, verifier: Verifier, intake: Intake, tally: Tally) -> None:
        self._verifier = verifier
        self._intake = intake
        self._uploads = Uploads()
        self._refusals = Refusals()
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = await self._answer(Headers(scope=scope), receive)
        await answer(scope, receive, send)

    async def _answer(self, headers: Headers, receive: Receive) -> Response:
        """Return 202 for what was verified and accepted, else what kept it from that."""
        try:
            body = await self._uploads.read(headers, receive)
            delivery_id = self._verifier.verify(headers, body)
        except BodyTooLargeError as error:
            return self._refuse(413, "body_too_large", str(error), close=True)
        except IncompleteBodyError:
            return self._refuse(400, "incomplete", "the sender hung up, or took too long", close=True)
        except InvalidSignatureError as error:
            return self._refuse(403, "invalid_signature", str(error))
        return await self._take(RawDelivery(id=delivery_id, body=body))

    async def _take(self, delivery: RawDelivery) -> Response:
        try:
            disposition = await self._intake.accept(delivery)
        except StoreUnavailableError as error:
            reason = str(error)
            log.error("cannot store", delivery=delivery.id, reason=reason)  # noqa: TRY400 - no bug of ours
            return self._refuse(503, "unavailable", "cannot store deliveries now; send it again")
        return self._accepted(delivery.id, disposition)

    def _accepted(self, delivery_id: str, disposition: Disposition) -> Response:
        if disposition is Disposition.IGNORED:
            self._tally.add("webhooks", "other", disposition.value)
        else:
            log.info(disposition.value, delivery=delivery_id)
        return JSONResponse({"delivery": delivery_id, "disposition": disposition}, status_code=202)

    def _refuse(self, status: int, error: str, detail: str, *, close: bool = False) -> Response:
        self._tally.add("rejected_requests", error)
        headers = {"Connection": "close"} if close else {}
        if status == 503:  # noqa: PLR2004 - the number is the name
            headers["Retry-After"] = str(_RETRY_SECONDS)
        else:
            self._refusals.tell(detail)
        return JSONResponse({"error": error, "detail": detail}, status_code=status, headers=headers)
