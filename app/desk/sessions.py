"""Who uses the desk: signed cookies, and the signatures of forms.

The keys are derived from ``CREDITS_DESK_TOKEN``, so a new token ends every session. A visitor who has not
logged in has a cookie of another name, because the log-in form is signed too. Logging in gives a new id, so
an id that somebody planted in a browser is worth nothing.
"""

import hashlib
import secrets
from typing import Any

from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

COOKIE = "credits_desk"
VISITOR_COOKIE = "credits_desk_visitor"
SESSION_SECONDS = 8 * 3600
LONGEST_NAME = 40

_ID_BYTES = 16
_PLAN_SECONDS = 3600


class Session(Struct, frozen=True, kw_only=True):
    """A browser: a visitor's, or an operator's, who has logged in."""

    id: str
    name: str = ""
    """What the operator calls themselves; empty for a visitor."""

    @property
    def is_operator(self) -> bool:
        """Return whether the browser has logged in."""
        return bool(self.name)


class Sessions:
    """Reads and writes sessions. The cookie is the session: only its end is noted in Redis."""

    def __init__(self, token: str) -> None:
        options: dict[str, Any] = {"digest_method": hashlib.sha256}
        self._token = token.encode()
        self._cookies = URLSafeTimedSerializer(token, salt="credits desk session", signer_kwargs=options)
        self._forms = Signer(token, salt="credits desk form", key_derivation="hmac", **options)

    def is_token(self, given: str) -> bool:
        """Return whether ``given`` is the desk's token, in a time that does not show how close it is."""
        return secrets.compare_digest(given.encode(), self._token)

    def read(self, request: Request) -> Session | None:
        """Return the operator's session; None if there is none, or if it is over."""
        session = self._read(request, COOKIE)
        return session if session is not None and session.is_operator else None

    def read_visitor(self, request: Request) -> Session | None:
        """Return the session of a browser that was shown the log-in form; None if it was not."""
        return self._read(request, VISITOR_COOKIE)

    def start(self, name: str = "") -> Session:
        """Return a new session, of an operator if ``name`` is given."""
        return Session(id=secrets.token_urlsafe(_ID_BYTES), name=name)

    def write(self, session: Session, request: Request, response: Response) -> None:
        """Give the browser its session."""
        value = str(self._cookies.dumps({"id": session.id, "name": session.name}))
        name = COOKIE if session.is_operator else VISITOR_COOKIE
        _set_cookie(request, response, name, value, SESSION_SECONDS)

    def erase(self, request: Request, response: Response) -> None:
        """Take the operator's session from the browser."""
        _set_cookie(request, response, COOKIE, "", 0)

    def _read(self, request: Request, cookie: str) -> Session | None:
        try:
            fields = self._cookies.loads(request.cookies.get(cookie, ""), max_age=SESSION_SECONDS)
            return Session(id=str(fields["id"]), name=str(fields["name"]))
        except (BadSignature, KeyError, TypeError):
            return None

    def sign_form(self, session: Session) -> str:
        """Return what each form of this session carries."""
        return self._forms.get_signature(session.id).decode()

    def is_signed(self, session: Session, signature: str) -> bool:
        """Return whether a form comes from a page of this session."""
        return signature.isascii() and self._forms.verify_signature(session.id.encode(), signature)


class Seals:
    """Signs what was previewed, so that a confirmation does exactly that."""

    def __init__(self, token: str) -> None:
        self._serializer = URLSafeTimedSerializer(
            token, salt="credits desk plan", signer_kwargs={"digest_method": hashlib.sha256}
        )

    def write(self, session: Session, plan: object) -> str:
        """Return ``plan``, a JSON value, signed for a session."""
        return str(self._serializer.dumps([session.id, plan]))

    def read(self, session: Session, text: str) -> Any:
        """Return the plan in ``text``; ValueError if it is an hour old, or not signed for this session."""
        try:
            owner, plan = self._serializer.loads(text, max_age=_PLAN_SECONDS)
        except (BadSignature, TypeError, ValueError):
            raise ValueError("not signed by us, or too old") from None
        if owner != session.id:
            raise ValueError("signed for another session")
        return plan


def _set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie without a path: it belongs to the desk, whatever prefix a proxy has put before it."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=None,
        secure=is_https(request),
        httponly=True,
        samesite="strict",
    )


def is_https(request: Request) -> bool:
    """Return whether the browser came by https, as a proxy says.

    Anybody can send that header. A browser that lies only makes its own cookie more careful.
    """
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "").startswith("https")
