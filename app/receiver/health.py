"""``/livez``, ``/readyz``, ``/healthz`` and ``/metrics``: for load balancers, monitoring and operators."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from redis import Redis
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.receiver.tally_flusher import TallyFlusher
from workers.errors import StoreUnavailableError
from workers.store.intake import Intake

_FRESH_SECONDS = 1.0

Answer = TypeVar("Answer")


class _CachedForASecond(Generic[Answer]):
    """Asks Redis at most once a second, however many strangers ask us."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        self._ask = ask
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._answer: Answer

    async def answer(self) -> Answer:
        """Return the last answer, or ask again if it is older than a second."""
        async with self._asking:
            if time.monotonic() - self._asked_at > _FRESH_SECONDS:
                self._answer = await self._ask()
                self._asked_at = time.monotonic()
            return self._answer


class Readiness:
    """Reports whether this process is alive, and whether it can store deliveries."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._ready = _CachedForASecond(self._can_store)

    async def livez(self, _request: Request) -> Response:
        """Answer 200 while this process serves."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, _request: Request) -> Response:
        """Answer 200 if this process can store deliveries, whatever the state of workers and Polar."""
        if await self._ready.answer():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "unready"}, status_code=503)

    async def _can_store(self) -> bool:
        try:
            await self._intake.check()
        except StoreUnavailableError:
            return False
        return True


class HealthEndpoints:
    """Reports whether the whole service is well, and its metrics."""

    def __init__(self, redis: Redis, flusher: TallyFlusher, ops_token: str | None) -> None:
        self._redis = redis
        self._flusher = flusher
        self._ops_token = ops_token
        self._health = _CachedForASecond(self._examine)

    async def healthz(self, request: Request) -> Response:
        """Answer 200 if the whole service is well; only operators see the checks."""
        well, checks = await self._health.answer()
        answer: dict[str, object] = {"status": "well" if well else "unwell"}
        if self._is_operator(request):
            answer["checks"] = checks
        return JSONResponse(answer, status_code=200 if well else 503)

    async def metrics(self, request: Request) -> Response:
        """Return the metrics to operators, and 404 to everybody else."""
        if not self._is_operator(request):
            return JSONResponse({"error": "not_found"}, status_code=404)
        try:
            await self._flusher.flush()
            return await run_in_threadpool(_metrics, self._redis)
        except (RedisError, OSError):
            return JSONResponse({"error": "unavailable"}, status_code=503)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await run_in_threadpool(self._redis.close)

    async def _examine(self) -> tuple[bool, dict[str, object]]:
        return await run_in_threadpool(_examine, self._redis)

    def _is_operator(self, request: Request) -> bool:
        if self._ops_token is None:
            return False
        given = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {self._ops_token}".encode())


def _examine(redis: Redis) -> tuple[bool, dict[str, object]]:
    """Return whether all is well, and each check."""
    # Only here: a receiver is ready sooner without all that the checks read.
    from workers.monitoring.health import all_well, examine  # noqa: PLC0415

    checks = examine(redis)
    return all_well(checks), {check.name: {"ok": check.ok, "detail": check.detail} for check in checks}


def _metrics(redis: Redis) -> Response:
    # Only here: a receiver is ready sooner without the library that writes metrics.
    from workers.monitoring.metrics import CONTENT_TYPE, exposition  # noqa: PLC0415

    return Response(exposition(redis), media_type=CONTENT_TYPE)
