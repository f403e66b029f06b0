"""A Redis that is well, but closes connections: nobody may take that for an outage."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.main import create_app
from tests.support.processes import eventually
from tests.support.receivers import OPS_TOKEN, PAID, deliver, settings_for
from tests.support.redis_servers import DURABLE, Server, Wire, on_a_wire, own_redis
from tests.support.servers import running
from workers.store.connect import connect
from workers.store.connect_async import intake_for
from workers.store.intake import Disposition, RawDelivery

pytestmark = pytest.mark.heavy  # servers close idle connections in real time


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with own_redis(tmp_path, *DURABLE, "--timeout", "1") as started:
        yield started


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    """Yield TCP, on which redis-py does not notice by itself that a connection was closed."""
    with on_a_wire(server) as started:
        yield started


@pytest.fixture
def url(wire: Wire) -> Iterator[str]:
    with running(create_app(settings_for(wire.url, CREDITS_OPS_TOKEN=OPS_TOKEN))) as base:
        yield base


def let_idle_connections_close(wire: Wire) -> None:
    eventually(lambda: wire.connections == 0)


def test_the_first_webhook_after_a_quiet_time_is_accepted(url: str, wire: Wire) -> None:
    for number in range(3):
        assert deliver(url, PAID, f"msg-{number}").status_code == 202
        let_idle_connections_close(wire)


def test_a_receiver_is_ready_after_a_quiet_time(url: str, wire: Wire) -> None:
    for _ in range(2):
        assert httpx.get(url + "/readyz").status_code == 200
        let_idle_connections_close(wire)


def test_healthz_reports_no_outage_after_a_quiet_time(url: str, wire: Wire) -> None:
    for _ in range(2):
        answer = httpx.get(url + "/healthz", headers={"Authorization": f"Bearer {OPS_TOKEN}"})
        assert answer.json()["checks"]["redis"]["ok"]
        let_idle_connections_close(wire)


def test_workers_and_commands_notice_a_closed_connection_before_they_use_it(wire: Wire) -> None:
    with connect(wire.url) as redis:
        for _ in range(2):
            assert redis.ping()
            let_idle_connections_close(wire)


def test_an_answer_that_is_cut_off_is_asked_for_again(url: str, wire: Wire, server: Server) -> None:
    """Redis may have stored the delivery by then: storing it again changes nothing."""
    deliver(url, PAID, "msg-0")
    for number, part in enumerate((0, 1, 5)):
        wire.cut(after=part)
        assert deliver(url, PAID, f"msg-{number}").status_code == 202
    with server.client() as redis:
        assert redis.zcard("credits:due") == 3


def test_a_network_that_is_cut_leaves_no_unheard_error(wire: Wire) -> None:
    unheard: list[dict[str, Any]] = []

    async def store_while_the_network_is_cut() -> list[Disposition | BaseException]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        intake = intake_for(wire.url)
        await intake.check()
        outcomes: list[Disposition | BaseException] = []
        for part in range(6):
            wire.cut(after=part)
            deliveries = [RawDelivery(id=f"msg-{part}-{i}", body=PAID) for i in range(3)]
            outcomes += await asyncio.gather(*map(intake.accept, deliveries), return_exceptions=True)
        await intake.close()
        del intake
        gc.collect()
        await asyncio.sleep(0)
        return outcomes

    outcomes = asyncio.run(store_while_the_network_is_cut())
    assert unheard == []
    assert set(outcomes) <= {Disposition.ACCEPTED, Disposition.DUPLICATE}
