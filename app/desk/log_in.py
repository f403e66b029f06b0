"""Logging in, with the desk's token."""

import asyncio
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.desk.forms import Form, check_form, read_form
from app.desk.pages import HOME, PAGES
from app.desk.rendering import Renderer
from app.desk.sessions import LONGEST_NAME, Session, Sessions
from app.receiver.refusal_log import RefusalLog
from config.log import get_log

log = get_log(__name__)

_PREFIX = "/desk/"


class LogInPage(Struct, frozen=True, kw_only=True):
    """The form: what was typed before, and what was wrong with it."""

    next: str
    name: str = ""
    problem: str = ""
    longest_name: int = LONGEST_NAME


class LogIn:
    """Lets operators in.

    A wrong token is answered late. A right one is answered at once, even if both come from one address. So an
    attacker behind the operators' own proxy does not keep them out.
    """

    def __init__(self, sessions: Sessions, renderer: Renderer, *, wrong_seconds: float) -> None:
        self._sessions = sessions
        self._renderer = renderer
        self._wrong_seconds = wrong_seconds
        self._refusals = RefusalLog("log-in to the desk refused")

    def send_there(self, request: Request) -> Response:
        """Send a browser to the form, which then leads on to the page that it wanted.

        A browser that follows a link from elsewhere sends no cookie. It gets a page that asks for the same
        page again, and then it sends its cookie, if it has one.
        """
        path = request.scope["path"].removeprefix(request.scope.get("root_path", "")).removeprefix(_PREFIX)
        wanted = f"{path}?{request.url.query}" if request.url.query else path
        if request.method == "GET" and request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return self._render("again.html", "One moment", read_next(wanted))
        fields = {"next": wanted} if request.method == "GET" and wanted != HOME else {}
        return RedirectResponse(f"login?{urlencode(fields)}" if fields else "login", status_code=303)

    async def answer(self, request: Request) -> Response:
        """Show the form, or log in."""
        visitor = self._sessions.read_visitor(request)
        if request.method != "POST":
            return self._show(request, visitor, LogInPage(next=request.query_params.get("next", "")))
        form = await read_form(request)
        if visitor is None:
            problem = "The form was open for too long, or this browser keeps no cookies. Try again."
            return self._show(request, None, LogInPage(next=form.get("next", ""), problem=problem), 403)
        check_form(request, form, self._sessions, visitor)
        return await self._try(request, visitor, form)

    async def _try(self, request: Request, visitor: Session, form: Form) -> Response:
        name = _read_name(form.get("name", ""))
        page = LogInPage(next=form.get("next", ""), name=name)
        if not self._sessions.is_token(form.get("token", "").strip()):
            self._refusals.add("wrong token")
            await asyncio.sleep(self._wrong_seconds)
            problem = "This is not the token in CREDITS_DESK_TOKEN."
            return self._show(request, visitor, LogInPage(next=page.next, name=name, problem=problem), 401)
        if not name:
            problem = "Write your name, too: the list of actions shows it."
            return self._show(request, visitor, LogInPage(next=page.next, problem=problem), 400)
        session = self._sessions.start(name)
        log.info("logged in to the desk", operator=name, session=session.id[:8])
        response = RedirectResponse(read_next(page.next), status_code=303)
        self._sessions.write(session, request, response)
        return response

    def _show(
        self, request: Request, session: Session | None, page: LogInPage, status: int = 200
    ) -> Response:
        visitor = session or self._sessions.start()
        response = self._render("log_in.html", "Log in", page, self._sessions.sign_form(visitor), status)
        self._sessions.write(visitor, request, response)
        return response

    def _render(
        self, template: str, title: str, page: object, form_token: str = "", status: int = 200
    ) -> Response:
        text = self._renderer.render(
            template, title=title, section="", page=page, operator=None, form_token=form_token
        )
        return HTMLResponse(text, status_code=status)


def read_next(text: str) -> str:
    """Return the page to go to after logging in: one of the desk's own, with its query, or the first page."""
    name, _, query = text.partition("?")
    page = PAGES.get(name)
    if page is None or page.get is None:
        return HOME
    fields = urlencode(parse_qsl(query))
    return f"{name}?{fields}" if fields else name


def _read_name(text: str) -> str:
    """Return what an operator calls themselves, on one line; "" if it says nothing."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:LONGEST_NAME]
