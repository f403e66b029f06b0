"""``POST /webhooks/polar``: read, verify, accept, answer."""

from collections import Counter

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.refusals import Refusals
from app.signature import InvalidSignatureError, Verifier
from app.uploads import MOST_BYTES, BodyTooLargeError, IncompleteBodyError, Uploads
from workers.errors import StoreUnavailableError
from workers.intake import Disposition, Intake, RawDelivery

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 5  # Polar has a schedule of its own; this is for whoever else asks


class WebhookEndpoint:
    """Answers Polar's webhooks, and counts what it answered."""

    def __init__(self, verifier: Verifier, intake: Intake) -> None:
        self._verifier = verifier
        self._intake = intake
        self._uploads = Uploads()
        self._refusals = Refusals()
        self.counts: Counter[str] = Counter()

    async def answer(self, request: Request) -> Response:
        """Answer as the contract's HTTP table says."""
        try:
            body = await self._uploads.read(request)
            delivery_id = self._verifier.verify(request.headers, body)
            disposition = await self._intake.accept(RawDelivery(id=delivery_id, body=body))
        except BodyTooLargeError:
            return self._refuse(413, "body_too_large", f"more than {MOST_BYTES} bytes", close=True)
        except IncompleteBodyError:
            return self._refuse(400, "incomplete", "the sender hung up, or took too long", close=True)
        except InvalidSignatureError as error:
            return self._refuse(403, "invalid_signature", str(error))
        except StoreUnavailableError as error:
            log.error("cannot store", reason=str(error))  # noqa: TRY400 - an outage wants no traceback
            return self._refuse(503, "unavailable", "cannot store deliveries now; send it again")
        return self._accepted(delivery_id, disposition)

    def _accepted(self, delivery_id: str, disposition: Disposition) -> Response:
        self.counts[disposition.value] += 1
        if disposition is not Disposition.IGNORED:
            log.info(disposition.value, delivery=delivery_id)
        return JSONResponse({"delivery": delivery_id, "disposition": disposition}, status_code=202)

    def _refuse(self, status: int, error: str, detail: str, *, close: bool = False) -> Response:
        self.counts[error] += 1
        headers = {"Connection": "close"} if close else {}
        if status == 503:  # noqa: PLR2004 - the number is the name
            headers["Retry-After"] = str(_RETRY_SECONDS)
        else:
            self._refusals.tell(detail)
        return JSONResponse({"error": error, "detail": detail}, status_code=status, headers=headers)
