"""Who and what the stand-in for Polar lets in, and the words with which it turns others away."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.demo.polar.records import now
from app.demo.polar.shapes import problems
from app.demo.polar.state import WINDOW_SECONDS, Polar, Received

INGEST = "/v1/events/ingest"
VERSIONS = {None, "2026-04", "2026-10"}  # of the header Polar-Version, which may be missing
MOST_BODY_BYTES = 10 * 1024 * 1024

Shape = TypeVar("Shape", bound=BaseModel)


class RefusalError(Exception):
    """A request is turned away; ``response`` says why."""

    def __init__(
        self, status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {content}")
        self.response = JSONResponse(content, status, headers)


class Gate:
    """Stands before every path, the unknown ones too."""

    def __init__(self, app: ASGIApp, polar: Polar) -> None:
        self._app = app
        self._polar = polar

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through or answer it."""
        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        if refusal and scope["path"] == INGEST:
            self._polar.received.append(Received(at=now(), events=(), status=refusal.status_code))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        if not self._polar.admits():
            return Response(status_code=429, headers={"retry-after": str(WINDOW_SECONDS)})
        if request.headers.get("polar-version") not in VERSIONS:
            return JSONResponse({"detail": "Not Found"}, 404)
        return _refused_length(request) if request.method == "POST" else None


def _refused_length(request: Request) -> Response | None:
    length = request.headers.get("content-length")
    if length is None:
        return PlainTextResponse("Length Required", 411)
    if int(length) > MOST_BODY_BYTES:
        return PlainTextResponse("Content Too Large", 413)
    return None


def polar_of(request: Request) -> Polar:
    """Return the organization that is asked."""
    polar: Polar = request.app.state.polar
    return polar


def authorize(request: Request, polar: Polar, *scopes: str) -> None:
    """Let pass who brings the token, if it has one of ``scopes``; else RefusalError, 401 or 403."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        challenge = {"www-authenticate": 'Bearer realm="polar"'}
        raise RefusalError(401, {"error": "Unauthorized", "detail": "Unauthorized"}, challenge)
    if token != polar.token:
        words = "The access token provided is expired, revoked, malformed, or invalid for other reasons."
        raise _denied(401, "invalid_token", words)
    if polar.scopes.isdisjoint(scopes):
        words = "The request requires higher privileges than provided by the access token."
        raise _denied(403, "insufficient_scope", words, scopes)


def _denied(status: int, error: str, words: str, scopes: Sequence[str] = ()) -> RefusalError:
    scope = f'scope="{" ".join(scopes)}", ' if scopes else ""
    challenge = f'Bearer realm="polar", {scope}error="{error}", error_description="{words}"'
    content = {"error": error, "error_description": words}
    return RefusalError(status, content, {"www-authenticate": challenge})


def parse_json(body: bytes) -> Any:
    """Return what ``body`` says; RefusalError, 422, if it is not JSON."""
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        problem = {
            "type": "json_invalid",
            "loc": ["body", error.pos],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise invalid([problem]) from None


def read(shape: type[Shape], value: Any, *where: str) -> Shape:
    """Return ``value``, found at ``where`` in the request, as ``shape``; else RefusalError, 422."""
    try:
        return shape.model_validate(value, from_attributes=True)  # as FastAPI does
    except ValidationError as error:
        raise invalid(problems(error, *where)) from None


def invalid(detail: Sequence[Mapping[str, Any]], error: str = "RequestValidationError") -> RefusalError:
    """Return the refusal of a request whose content is wrong in the ways of ``detail``."""
    return RefusalError(422, {"error": error, "detail": detail})


def nowhere() -> RefusalError:
    """Return the refusal of a request for what is not there."""
    return RefusalError(404, {"error": "ResourceNotFound", "detail": "Not found"})


def turn_away(_request: Request, error: Exception) -> Response:
    """Answer a RefusalError, or the framework's own 404 and 405."""
    match error:
        case RefusalError():
            return error.response
        case HTTPException():
            return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    raise error
