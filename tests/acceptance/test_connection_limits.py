"""Hosted plans often allow 20 connections: the service says how many it opens at most, and opens no more."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from app.demo.polar import create_app
from tests.support.builders import order_webhook, some_id
from tests.support.processes import Credits, Running, credits_in, eventually, post, some_polar
from tests.support.receivers import OPS_TOKEN
from tests.support.redis_servers import DURABLE, own_redis
from tests.support.servers import running

pytestmark = pytest.mark.heavy  # whole services start, and a crowd comes

CROWD = 40
API_TOKEN = "storefront-of-the-tests"
OURS = 1  # the connection of the test itself


def at_most(running: Running) -> int:
    lines = running.said.rpartition("\n")[0].splitlines()
    (said,) = [one for one in map(json.loads, lines) if one["event"] == "connections to Redis"]
    return int(said["at_most"])


def ask(url: str, number: int) -> int:
    """Ask for what a receiver has to look up: its health and its metrics."""
    path = ("/healthz", "/metrics", "/readyz")[number % 3]
    return httpx.get(url + path, headers={"Authorization": f"Bearer {OPS_TOKEN}"}, timeout=60).status_code


@pytest.mark.parametrize(
    ("settings", "limit"),
    [({"CREDITS_API_TOKEN": API_TOKEN}, 26), ({"CREDITS_REDIS_CONNECTIONS": "4"}, 9)],
    ids=["with the storefront API", "with fewer"],
)
def test_a_crowd_is_served_within_the_announced_connections(
    tmp_path: Path, settings: dict[str, str], limit: int
) -> None:
    polar = some_polar()
    with (
        own_redis(tmp_path, *DURABLE, "--maxclients", str(limit + OURS)) as server,
        running(create_app(polar)) as polar_url,
        server.client() as redis,
    ):
        redis.ping()
        credits_ = service_at(server.url, tmp_path, polar_url, settings)
        with credits_.running("up") as up, ThreadPoolExecutor(CROWD) as pool:
            url = up.url()
            assert at_most(up) == limit
            asked = pool.map(lambda number: ask(url, number), range(CROWD))
            with httpx.Client(base_url=url, limits=httpx.Limits(max_connections=CROWD)) as client:
                bodies = (order_webhook(id=some_id(number)) for number in range(CROWD))
                list(pool.map(lambda body: post(client, body), bodies))
            assert set(asked) <= {200, 503}  # 503: it is not well while webhooks wait
            eventually(lambda: len(polar.events) == CROWD)
            assert redis.info("stats")["rejected_connections"] == 0
            assert redis.info("clients")["connected_clients"] <= limit + OURS


def service_at(url: str, folder: Path, polar_url: str, settings: dict[str, str]) -> Credits:
    usual = {"REDIS_URL": url, "CREDITS_OPS_TOKEN": OPS_TOKEN, "CREDITS_API_PORT": "0"}
    return credits_in(folder, polar_url, **usual, **settings)
