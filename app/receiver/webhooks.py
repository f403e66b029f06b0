"""``POST /webhooks/polar``: read the body, verify it, accept it, answer."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.receiver.answers import MEDIA_TYPE, Answer, answer_of
from app.receiver.refusal_log import RefusalLog
from app.receiver.signature import InvalidSignatureError, StaleSignatureError, Verifier
from app.receiver.uploads import BodyTooLargeError, IncompleteBodyError, Uploads, discard_rest
from config.log import get_log
from workers.core.clocks import describe_difference
from workers.errors import StoreUnavailableError
from workers.store import counts
from workers.store.arrivals import ArrivalNotes
from workers.store.counts import Tally
from workers.store.intake import Disposition, Intake, Outcome, RawDelivery

log = get_log(__name__)

PATH = "/webhooks/polar"
PATHS = frozenset({PATH, f"{PATH}/"})

_SIGNED = {name.encode(): name for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
_LENGTH = {b"content-length": "content-length"}
_AGENT = {b"user-agent": "user-agent"}
_POLARS_AGENT = "polar.sh"

_BODY_TOO_LARGE = 413

_RETRY_SECONDS = 5  # for other clients; Polar retries on its own schedule

RawHeaders = Iterable[tuple[bytes, bytes]]


class WebhookEndpoint:
    """Answers Polar's webhooks and counts its answers.

    It is an ASGI application, for requests in any number of pieces. Those that arrive whole are passed to
    ``take`` by app.receiver.connections, without a task for each.
    """

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
        self._tasks: set[asyncio.Task[None]] = set()
        self._stale: list[Callable[[Answer], None]] = []  # they wait for one comparison of clocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = await self._answer(scope["headers"], receive)
        headers = {**answer.headers, **({"Connection": "close"} if answer.closes else {})}
        response = Response(answer.body, answer.status, headers, media_type=MEDIA_TYPE)
        if answer.status == _BODY_TOO_LARGE:
            await _send_before_the_rest(response, receive, send)
        else:
            await response(scope, receive, send)

    async def _answer(self, headers: RawHeaders, receive: Receive) -> Answer:
        """Return 202 for a verified delivery that was accepted, else an error that says what is wrong."""
        try:
            body = await self._uploads.read(_read(headers, _LENGTH), receive)
        except BodyTooLargeError as error:
            return self._refuse(_BODY_TOO_LARGE, "body_too_large", str(error), close=True)
        except IncompleteBodyError:
            detail = "the body is incomplete: its sender closed the connection or took too long"
            return self._refuse(400, "incomplete", detail, close=True)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.take(headers, body, lambda answer: None if answered.done() else answered.set_result(answer))
        return await answered

    def take(self, headers: RawHeaders, body: bytes, reply: Callable[[Answer], None]) -> None:
        """Verify a webhook and accept it; call ``reply`` once, when Redis has it or when it is refused."""
        found = _read(headers, _SIGNED)
        try:
            delivery_id = self._verifier.verify(found, body)
        except InvalidSignatureError as error:
            if len(found) == len(_SIGNED) and _is_from_polar(headers):
                self._notes.add_refused(str(error))
            if isinstance(error, StaleSignatureError) and self._refusals.is_due(str(error)):
                self._stale.append(reply)
                if len(self._stale) == 1:
                    self._begin(self._refuse_stale(str(error)))
            else:
                reply(self._refuse(403, "invalid_signature", str(error)))
        else:
            self._notes.add_valid()
            self._intake.put(
                RawDelivery(id=delivery_id, body=body), partial(self._conclude, delivery_id, reply)
            )

    def _conclude(self, delivery_id: str, reply: Callable[[Answer], None], outcome: Outcome) -> None:
        if isinstance(outcome, StoreUnavailableError):
            log.error("cannot store delivery", delivery=delivery_id, reason=str(outcome))
            reply(self._refuse(503, "unavailable", "deliveries cannot be stored now; send this one again"))
        else:
            reply(self._confirm(delivery_id, outcome))

    def _confirm(self, delivery_id: str, disposition: Disposition) -> Answer:
        word = disposition.value
        if disposition is Disposition.IGNORED:
            self._tally.add(counts.WEBHOOKS, "other", word)
        else:
            log.info(word, delivery=delivery_id)
        if disposition is Disposition.ACCEPTED:
            self._on_accepted(delivery_id)
        return answer_of(202, delivery=delivery_id, disposition=word)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # a task that nothing refers to may vanish
        task.add_done_callback(self._tasks.discard)

    async def _refuse_stale(self, detail: str) -> None:
        """Log how this host's clock differs from Redis's, if it does: it may be the wrong one.

        However many wait, Redis is asked once: strangers must not take the connections that storing needs.
        """
        clock = None
        with suppress(StoreUnavailableError):
            clock = describe_difference(await self._intake.clock_ahead(), "Redis's")
        stale, self._stale = self._stale, []
        for reply in stale:
            reply(self._refuse(403, "invalid_signature", detail, clock=clock))

    def _refuse(
        self, status: int, error: str, detail: str, *, close: bool = False, clock: str | None = None
    ) -> Answer:
        self._tally.add(counts.REJECTED_REQUESTS, error)
        if status == 503:  # noqa: PLR2004 - the number is the name
            retry = {"Retry-After": str(_RETRY_SECONDS)}
            return answer_of(status, headers=retry, error=error, detail=detail)
        self._refusals.add(detail, clock=clock)
        return answer_of(status, closes=close, error=error, detail=detail)


async def _send_before_the_rest(response: Response, receive: Receive, send: Send) -> None:
    """Send the answer, then discard the rest of the request, so that the server closes only after that."""
    start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    await send(start)
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    await discard_rest(receive)
    await send({"type": "http.response.body"})


def is_for_webhooks(scope: Scope) -> bool:
    """Return whether a request is a POST to the endpoint."""
    return scope["type"] == "http" and scope["path"] in PATHS and scope["method"] == "POST"


def _read(headers: RawHeaders, names: Mapping[bytes, str]) -> dict[str, str]:
    """Return the headers with these names; of several with one name, the first."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name in names and names[name] not in found:
            found[names[name]] = value.decode("latin-1")
    return found


def _is_from_polar(headers: RawHeaders) -> bool:
    """Return whether a refused webhook may be Polar's. Anybody can forge it, so health ignores it."""
    return _read(headers, _AGENT).get("user-agent", "").startswith(_POLARS_AGENT)
