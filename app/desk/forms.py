"""Reads what a browser posts, if it comes from a page of the desk."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from app.desk.errors import DeskError
from app.desk.sessions import Session, Sessions

_MOST_BYTES = 256 * 1024  # the ids of a whole selection
_MOST_FIELDS = 50

FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field

Form = Mapping[str, str]


async def read_form(request: Request) -> Form:
    """Return the fields of a posted form, the last of each name; DeskError if it cannot be read."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_BYTES:
                raise DeskError(413, "This form is too large.")
    except ClientDisconnect:
        raise DeskError(400, "The form was cut off.") from None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise DeskError(400, "This form cannot be read.") from None


def check_form(request: Request, form: Form, sessions: Sessions, session: Session) -> None:
    """Return if a form comes from a page of this session; DeskError otherwise."""
    if not is_own_origin(request.headers):
        raise DeskError(403, "This form comes from another site, so nothing was done.")
    if not sessions.is_signed(session, form.get(FORM_TOKEN, "")):
        raise DeskError(403, "This form is no longer valid, so nothing was done. Open its page again.")


def is_own_origin(headers: Headers) -> bool:
    """Return whether a post comes from a page of ours, as the browser says.

    A browser says it in ``Sec-Fetch-Site``, which no proxy changes; over plain http only in ``Origin``. What
    sends neither is no browser, so nobody can make it post without its user's knowledge.
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    if (origin := headers.get("origin")) is None:
        return True
    return _host_of(origin) == headers.get("host", "").lower()


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
