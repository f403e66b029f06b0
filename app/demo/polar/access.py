"""Decides which requests the stand-in for Polar admits: rate limit, version, length, token and scopes."""

from collections.abc import Sequence
from email.utils import format_datetime

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.demo.polar.organization import WINDOW_SECONDS, IngestAttempt, Polar
from app.demo.polar.refusals import RefusalError
from app.demo.polar.response_models import now

INGEST = "/v1/events/ingest"
VERSIONS = {None, "2026-04", "2026-10"}  # of the header Polar-Version; None if it is missing
MOST_BODY_BYTES = 10 * 1024 * 1024


class RequestGate:
    """Middleware that checks every request before its token is, whether or not its path exists.

    It also dates every answer, so the server must not.
    """

    def __init__(self, app: ASGIApp, polar: Polar) -> None:
        self._app = app
        self._polar = polar

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        if refusal and scope["path"] == INGEST:
            self._polar.received.append(IngestAttempt(at=now(), events=(), status=refusal.status_code))

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["date"] = format_datetime(self._polar.now(), usegmt=True)
            await send(message)

        await (refusal or self._app)(scope, receive, send_dated)

    def _refusal(self, request: Request) -> Response | None:
        if not self._polar.admits():
            return Response(status_code=429, headers={"retry-after": str(WINDOW_SECONDS)})
        if request.headers.get("polar-version") not in VERSIONS:
            return JSONResponse({"detail": "Not Found"}, 404)
        return _length_refusal(request) if request.method == "POST" else None


def _length_refusal(request: Request) -> Response | None:
    length = request.headers.get("content-length")
    if length is None:
        return PlainTextResponse("Length Required", 411)
    if int(length) > MOST_BODY_BYTES:
        return PlainTextResponse("Content Too Large", 413)
    return None


def organization_of(request: Request) -> Polar:
    """Return the organization that the request is for."""
    polar: Polar = request.app.state.polar
    return polar


def authorize(request: Request, polar: Polar, *scopes: str) -> None:
    """Check that the request has the organization's token, with one of ``scopes``.

    Raises RefusalError: 401 for a missing or wrong token, 403 for a missing scope.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        challenge = {"www-authenticate": 'Bearer realm="polar"'}
        raise RefusalError(401, {"error": "Unauthorized", "detail": "Unauthorized"}, challenge)
    if token != polar.token:
        description = (
            "The access token provided is expired, revoked, malformed, or invalid for other reasons."
        )
        raise _denied(401, "invalid_token", description)
    if polar.scopes.isdisjoint(scopes):
        description = "The request requires higher privileges than provided by the access token."
        raise _denied(403, "insufficient_scope", description, scopes)


def _denied(status: int, error: str, description: str, scopes: Sequence[str] = ()) -> RefusalError:
    scope = f'scope="{" ".join(scopes)}", ' if scopes else ""
    challenge = f'Bearer realm="polar", {scope}error="{error}", error_description="{description}"'
    content = {"error": error, "error_description": description}
    return RefusalError(status, content, {"www-authenticate": challenge})
