"""The storefront API as an ASGI application, a process of its own beside the receiver."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.api.answers import Answer, ErrorAnswer
from app.api.customers import Customers
from app.api.errors import ApiError
from app.api.gone import ClientGoneError
from app.api.offers import Offers
from app.api.openapi import describe
from app.api.operations import GET_CREDITS, GET_EXTERNAL_CREDITS, GET_ORDER, OPERATIONS, POST_OFFER
from app.api.orders import Orders
from app.api.tokens import Tokens
from app.receiver.health import Readiness
from config.settings import Settings
from workers.operations.credits.reader import CreditsReader
from workers.runtime.api import ApiParts, api_parts
from workers.store.connect_async import connect_api, intake_for
from workers.store.offers import OfferStore
from workers.store.orders import OrderReader, Settlements
from workers.timings import DEFAULT_TIMINGS, Timings

Endpoint = Callable[[Request], Awaitable[Answer]]

MakeRoutes = Callable[[ApiParts], Sequence[BaseRoute]]
"""Makes the routes of pages that are served beside the operations."""

_NOT_CACHED = {"Cache-Control": "no-store"}


class Api(Starlette):
    """The application; it also ends the requests that it holds open.

    Without ``CREDITS_API_TOKEN`` it has no operations: it serves only the ``pages`` of the desk.
    """

    def __init__(
        self, settings: Settings, timings: Timings = DEFAULT_TIMINGS, pages: MakeRoutes | None = None
    ) -> None:
        """Build the application; ConfigError if a setting that it needs is missing."""
        url = settings.require_redis_url()
        settings.require_api()
        options, seconds = settings.redis_options, timings.receiver_redis_seconds
        self._redis = connect_api(url, options, timeout_seconds=seconds)
        self._intake = intake_for(url, options, timeout_seconds=seconds)
        self._settlements = Settlements(self._redis)
        self._open = ExitStack()
        parts = self._open.enter_context(api_parts(settings, timings))
        readiness = Readiness(self._intake)
        super().__init__(
            routes=[
                *(self._operations(settings, timings, parts) if settings.api_tokens else []),
                Route("/livez", readiness.livez),
                Route("/readyz", readiness.readyz),
                *(pages(parts) if pages else []),
            ],
            lifespan=self._lifespan,
            exception_handlers={ApiError: _refuse, HTTPException: _refuse_http, ClientGoneError: _drop},
        )
        self.router.redirect_slashes = False  # Starlette's redirects would trust the Host header

    @property
    def waiting(self) -> int:
        """Return how many requests are held until something is settled."""
        return self._settlements.waiting

    def end_waits(self) -> None:
        """Answer all held requests, because the process is about to end."""
        self._settlements.stop()

    def _operations(self, settings: Settings, timings: Timings, parts: ApiParts) -> list[Route]:
        settings.require_token()
        reader = cast(CreditsReader, parts.credits_reader)  # there is one where there is a token
        customers = Customers(reader)
        orders = Orders(OrderReader(self._redis), self._settlements)
        offers = Offers(OfferStore(self._redis), self._settlements, customers.find_id)
        tokens = Tokens(settings.api_tokens, wrong_seconds=timings.wrong_token_seconds)
        return _routes(
            tokens,
            {
                GET_ORDER.name: orders.get,
                GET_CREDITS.name: customers.get,
                GET_EXTERNAL_CREDITS.name: customers.get_external,
                POST_OFFER.name: offers.post,
            },
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        listening = asyncio.create_task(self._settlements.run())
        yield
        listening.cancel()
        await asyncio.wait([listening])
        self._open.close()
        await self._intake.close()
        await self._redis.aclose()


def _routes(tokens: Tokens, endpoints: Mapping[str, Endpoint]) -> list[Route]:
    document = describe(OPERATIONS)

    async def openapi(_request: Request) -> Response:
        return JSONResponse(document)

    return [
        *(Route(one.path, _guarded(tokens, endpoints[one.name]), methods=[one.method]) for one in OPERATIONS),
        Route("/v1/openapi.json", openapi),
    ]


def _guarded(tokens: Tokens, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        await tokens.admit(request.headers)
        body = await endpoint(request)
        return JSONResponse(body.dump(), status_code=body.http_status, headers=_NOT_CACHED)

    return answer


async def _refuse(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):  # the handler's type is wider than what Starlette passes
        raise error
    body = ErrorAnswer(error=error.code, detail=str(error))
    return JSONResponse(body.dump(), status_code=error.status, headers=error.headers)


async def _refuse_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    detail = {404: "there is nothing at this path; see /v1/openapi.json"}.get(error.status_code, error.detail)
    body = ErrorAnswer(error=code, detail=detail)
    return JSONResponse(body.dump(), status_code=error.status_code, headers=error.headers)


async def _drop(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it
