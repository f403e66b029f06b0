"""``/livez``, ``/readyz``, ``/healthz``, ``/metrics``: for machines that watch, and for people at night."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from redis import Redis
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.receiver.counting import Counting
from workers.errors import StoreUnavailableError
from workers.monitoring.health import Check, all_well, examine
from workers.monitoring.metrics import exposition
from workers.store.intake import Intake

_FRESH_SECONDS = 1.0

Answer = TypeVar("Answer")


class _OnceASecond(Generic[Answer]):
    """Asks no more often: whoever likes may ask us, and Redis answers one at a time."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        self._ask = ask
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._answer: Answer

    async def answer(self) -> Answer:
        """Return what was answered last, if that is no second ago."""
        async with self._asking:
            if time.monotonic() - self._asked_at > _FRESH_SECONDS:
                self._answer = await self._ask()
                self._asked_at = time.monotonic()
            return self._answer


class HealthEndpoints:
    """Answers about this process, this receiver, and the whole."""

    def __init__(self, intake: Intake, redis: Redis, counting: Counting, ops_token: str | None) -> None:
        self._intake = intake
        self._redis = redis
        self._counting = counting
        self._ops_token = ops_token
        self._ready = _OnceASecond(self._can_store)
        self._whole = _OnceASecond(self._examined)

    async def livez(self, _request: Request) -> Response:
        """This process serves."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, _request: Request) -> Response:
        """This receiver can store deliveries; workers do not count, nor does Polar."""
        if await self._ready.answer():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "unready"}, status_code=503)

    async def healthz(self, request: Request) -> Response:
        """The whole is well; what exactly is not is for operators only."""
        checks = await self._whole.answer()
        well = all_well(checks)
        answer: dict[str, object] = {"status": "well" if well else "unwell"}
        if self._is_operator(request):
            answer["checks"] = {check.name: {"ok": check.ok, "detail": check.detail} for check in checks}
        return JSONResponse(answer, status_code=200 if well else 503)

    async def metrics(self, request: Request) -> Response:
        """How things stand, in numbers; for operators only, and for others there is no such page."""
        if not self._is_operator(request):
            return JSONResponse({"error": "not_found"}, status_code=404)
        try:
            await self._counting.hand_on()
            text = await run_in_threadpool(exposition, self._redis)
        except (RedisError, OSError):
            return JSONResponse({"error": "unavailable"}, status_code=503)
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def close(self) -> None:
        """Close the connections."""
        await run_in_threadpool(self._redis.close)

    async def _can_store(self) -> bool:
        try:
            await self._intake.check()
        except StoreUnavailableError:
            return False
        return True

    async def _examined(self) -> list[Check]:
        return await run_in_threadpool(examine, self._redis)

    def _is_operator(self, request: Request) -> bool:
        if self._ops_token is None:
            return False
        given = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {self._ops_token}".encode())
