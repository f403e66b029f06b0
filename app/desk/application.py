"""The desk's routes: who may see a page, and how every request is answered."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.desk.assets import Assets
from app.desk.errors import DeskError
from app.desk.forms import Form, check_form, read_form
from app.desk.headers import NOT_KEPT, SECURITY_HEADERS
from app.desk.log_in import LogIn
from app.desk.page import Gather, Page, Shown, Visit
from app.desk.pages import HOME, PAGES
from app.desk.parts import DeskParts
from app.desk.rendering import Renderer
from app.desk.rules_file import RulesFile
from app.desk.sessions import SESSION_SECONDS, Seals, Session, Sessions
from config.log import get_log
from config.settings import Settings
from workers.runtime.api import ApiParts
from workers.store.desk import DeskStore
from workers.store.format import UnknownFormatError
from workers.store.redis_errors import describe_redis_error
from workers.timings import Timings

log = get_log(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


def desk_routes(settings: Settings, timings: Timings, parts: ApiParts) -> Sequence[BaseRoute]:
    """Return the routes under ``/desk``; ConfigError without ``CREDITS_DESK_TOKEN``."""
    desk = Desk(settings, timings, parts)
    return [
        Route("/desk/login", desk.answering(desk.log_in), methods=["GET", "POST"]),
        Route("/desk/logout", desk.answering(desk.log_out), methods=["POST"]),
        Route("/desk/static/{hash}/{name}", desk.answering(desk.assets.get)),
        *(
            Route(f"/desk/{name}", desk.answering(desk.page(page)), methods=page.methods)
            for name, page in PAGES.items()
        ),
        Route("/desk", desk.answering(_go_home)),
        Route("/desk/{path:path}", desk.answering(_find_nothing)),
    ]


class _NotLoggedInError(Exception):
    """The browser has no session, or its session is over."""


class Desk:
    """Answers every request under ``/desk``."""

    def __init__(self, settings: Settings, timings: Timings, parts: ApiParts) -> None:
        self.assets = Assets()
        self._renderer = Renderer(self.assets)
        token = settings.require_desk_token()
        self._sessions, self._seals = Sessions(token), Seals(token)
        self._log_in = LogIn(self._sessions, self._renderer, wrong_seconds=timings.wrong_token_seconds)
        self._parts = DeskParts(
            settings=settings,
            stores=parts.stores,
            rules=RulesFile(path=settings.rules_path),
            notes=DeskStore(parts.stores.redis),
            polar=parts.polar,
            credits=parts.credits_reader,
        )

    def answering(self, endpoint: Endpoint) -> Endpoint:
        """Return an endpoint that answers errors with a page, and has the headers of the desk."""

        async def answer(request: Request) -> Response:
            try:
                response = await endpoint(request)
            except _NotLoggedInError:
                response = self._log_in.send_there(request)
            except DeskError as error:
                response = self._show_error(request, error)
            except UnknownFormatError as error:
                response = self._show_error(request, DeskError(503, f"Nothing was done: {error}."))
            except (RedisError, OSError) as error:
                away = DeskError(503, f"Redis cannot be read now: {describe_redis_error(error)}.")
                response = self._show_error(request, away)
            for name, value in {**NOT_KEPT, **SECURITY_HEADERS}.items():
                response.headers.setdefault(name, value)
            return response

        return answer

    async def log_in(self, request: Request) -> Response:
        """Show the form to log in, or log in."""
        return await self._log_in.answer(request)

    async def log_out(self, request: Request) -> Response:
        """End the session, also for whoever has a copy of its cookie."""
        session = self._sessions.read(request)
        if session is None:
            raise _NotLoggedInError
        check_form(request, await read_form(request), self._sessions, session)
        within = timedelta(seconds=SESSION_SECONDS)
        await run_in_threadpool(self._parts.notes.end_session, session.id, within=within)
        log.info("logged out of the desk", operator=session.name, session=session.id[:8])
        response = RedirectResponse("login", status_code=303)
        self._sessions.erase(request, response)
        return response

    def page(self, page: Page) -> Endpoint:
        """Return the endpoint of a page, for operators alone."""

        async def answer(request: Request) -> Response:
            session = self._sessions.read(request)
            if session is None:
                raise _NotLoggedInError
            fields: Form = dict(request.query_params)
            gather = page.get
            if request.method == "POST":
                fields, gather = await read_form(request), page.post
                check_form(request, fields, self._sessions, session)
            if gather is None:
                raise DeskError(405, "This page cannot be opened like that.")
            visit = Visit(parts=self._parts, session=session, fields=fields, seals=self._seals)
            return await run_in_threadpool(self._gather_and_render, gather, visit)

        return answer

    def _gather_and_render(self, gather: Gather, visit: Visit) -> Response:
        if self._parts.notes.is_ended(visit.session.id):
            raise _NotLoggedInError
        answer = gather(visit)
        if isinstance(answer, Shown):
            return self._render(answer, visit.session)
        return RedirectResponse(answer.url, status_code=303)

    def _render(self, shown: Shown, operator: Session | None) -> Response:
        text = self._renderer.render(
            shown.template,
            title=shown.title,
            section=shown.section,
            page=shown.model,
            operator=operator,
            form_token=self._sessions.sign_form(operator) if operator else "",
        )
        return HTMLResponse(text, status_code=shown.status)

    def _show_error(self, request: Request, error: DeskError) -> Response:
        shown = Shown(template="error.html", title="Error", model=error, status=error.status)
        return self._render(shown, self._sessions.read(request))


async def _go_home(_request: Request) -> Response:
    return RedirectResponse(f"desk/{HOME}", status_code=303)


async def _find_nothing(request: Request) -> Response:
    if request.path_params["path"] == "":
        return RedirectResponse(HOME, status_code=303)
    raise DeskError(404, "There is no such page.")
