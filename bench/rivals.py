"""The alternatives that the service is compared with, as simple as their documentation shows them."""

import json
import os
from functools import cache
from typing import Any
from urllib.request import Request as PolarRequest
from urllib.request import urlopen

import httpx
import redis.asyncio
from redis import Redis
from rq import Queue
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bench.orders import PATH, SECRET

_STORE = "redis.call('HSET', KEYS[1], 'body', ARGV[1]) redis.call('ZADD', KEYS[2], ARGV[2], KEYS[1]) return 1"


async def _accept(_request: Request) -> Response:
    return Response(status_code=202)


async def _store(request: Request) -> Response:
    body = await request.body()
    delivery_id = request.headers["webhook-id"]
    await _script()(keys=[f"bench:{delivery_id}", "bench:due"], args=[body, 1])
    return Response(status_code=202)


async def _enqueue(request: Request) -> Response:
    body = await request.body()
    Webhook(SECRET.encode()).verify(body, dict(request.headers), json_parse=False)
    await run_in_threadpool(_queue().enqueue, grant, body.decode())
    return Response(status_code=202)


async def _show(_request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>A page</title><p>Nothing is looked up for it.")


def _app(endpoint: Any) -> Starlette:
    return Starlette(routes=[Route(PATH, endpoint, methods=["POST"])])


page = Starlette(routes=[Route("/page", _show)])
"""A page that is always the same."""
bare = _app(_accept)
"""A route that answers 202 and does nothing."""
one_script = _app(_store)
"""A route that stores the body with one script in Redis, without verifying it."""
rq_enqueue = _app(_enqueue)
"""A route that verifies the webhook and enqueues an RQ job in the thread pool, since RQ is not async."""


@cache
def _script() -> Any:
    return redis.asyncio.Redis.from_url(os.environ["BENCH_REDIS"]).register_script(_STORE)


@cache
def _queue() -> Queue:
    return Queue(os.environ["BENCH_QUEUE"], connection=Redis.from_url(os.environ["BENCH_REDIS"]))


def grant(body: str) -> None:
    """Credit one order with one request: the RQ job."""
    content = json.dumps({"events": [event(json.loads(body)["data"])]}).encode()
    request = PolarRequest(os.environ["BENCH_POLAR"] + "/v1/events/ingest", data=content)  # noqa: S310 - ours
    with urlopen(request) as answer:  # noqa: S310 - our own stand-in
        answer.read()


def script(polar_url: str, bodies: list[bytes], most_events: int) -> None:
    """Credit the orders batch by batch: the script without a queue."""
    with httpx.Client() as client:
        for start in range(0, len(bodies), most_events):
            orders = [json.loads(body)["data"] for body in bodies[start : start + most_events]]
            events = [event(order) for order in orders]
            client.post(f"{polar_url}/v1/events/ingest", json={"events": events}).raise_for_status()


def event(order: dict[str, Any]) -> dict[str, Any]:
    """Return the event that credits ten units for an order."""
    return {
        "name": "api_usage",
        "customer_id": order["customer_id"],
        "external_id": f"credits:order:{order['id']}:api_usage",
        "metadata": {"units": -10, "order_id": order["id"]},
    }
