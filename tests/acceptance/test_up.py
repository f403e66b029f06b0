"""``credits up`` as an operator runs it: killed processes are restarted, and a stop leaves nothing behind."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisGoneError
from starlette.responses import Response

from app.demo.polar import Polar, Status, create_app
from tests.support.builders import CUSTOMER, order_webhook, some_id
from tests.support.processes import (
    SECRET,
    TOKEN,
    Credits,
    Running,
    credits_in,
    eventually,
    living,
    post,
    processes,
    some_polar,
)
from tests.support.raw_http import is_refused
from tests.support.recordings import payload
from tests.support.servers import running
from workers.core.delivery import Status as Became
from workers.embedded.server import EmbeddedRedis

pytestmark = pytest.mark.heavy  # whole services start, are killed and stop

POLL_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Held:
    """A fault: Polar answers only when the test releases it."""

    released: Event = field(default_factory=Event)

    async def __call__(self, answer: Callable[[], Response]) -> Response:
        """Wait, then answer."""
        while not self.released.is_set():
            await asyncio.sleep(POLL_SECONDS)
        return answer()


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running ``credits up`` with its embedded Redis, and the Polar that it talks to."""

    up: Running
    url: str
    polar: Polar
    data: Path

    @property
    def port(self) -> int:
        """Return the port that the receiver listens on."""
        return urlsplit(self.url).port or 0

    def redis_pid(self) -> int:
        """Return the process id of the embedded Redis; 0 if it does not run."""
        try:
            with Redis.from_url(EmbeddedRedis(self.data).url, retry=None) as redis:
                return int(redis.info("server")["process_id"])
        except (RedisGoneError, OSError):
            return 0

    def pids(self) -> list[int]:
        """Return the ids of every process that belongs to the service."""
        mine = (self.up.part("receiver"), self.up.part("worker"), eventually(self.redis_pid))
        guardians = [process.pid for process in processes() if str(self.data) in process.command]
        return [*mine, *guardians]

    def is_credited_for(self, order_number: int) -> None:
        """Send a new paid order; wait until Polar has its grant."""
        before = self.polar.balance(CUSTOMER, "api_usage")
        with httpx.Client(base_url=self.url) as client:
            eventually(lambda: client.get("/readyz", timeout=30).status_code == 200)
            post(client, order_webhook(id=some_id(order_number)))
        eventually(lambda: self.polar.balance(CUSTOMER, "api_usage") == before + 10)


@dataclass(frozen=True, kw_only=True)
class House:
    """The commands in a folder of their own, and the Polar that they use."""

    polar: Polar
    credits: Credits


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    polar = some_polar()
    with running(create_app(polar)) as polar_url:
        yield House(polar=polar, credits=credits_in(tmp_path, polar_url))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service shared by the tests that only kill its processes; it must survive them all."""
    polar = some_polar()
    with running(create_app(polar)) as polar_url:
        credits_ = credits_in(tmp_path_factory.mktemp("up"), polar_url)
        with credits_.running("up") as up:
            yield server_config(House(polar=polar, credits=credits_), up)


def server_config(house: House, up: Running) -> Service:
    """Return the service once it accepts webhooks."""
    data = Path(house.credits.settings["CREDITS_DATA_DIR"])
    return Service(up=up, url=up.url(), polar=house.polar, data=data)


def all_gone(pids: list[int]) -> bool:
    return not living(pids)


def assert_port_is_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # old connections may linger, listeners may not
        probe.bind(("127.0.0.1", port))
        probe.listen()


def test_a_real_webhook_becomes_credit(service: Service) -> None:
    with httpx.Client(base_url=service.url) as client:
        post(client, payload("order_paid_purchase"))
    eventually(lambda: service.polar.balance(CUSTOMER, "api_usage") == 10)


@pytest.mark.parametrize("name", ["worker", "receiver"])
def test_a_killed_process_is_restarted(service: Service, name: str) -> None:
    before = service.up.part(name)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: service.up.part(name) != before)
    assert "killed by SIGKILL" in service.up.said
    service.is_credited_for(101 if name == "worker" else 102)


def test_a_killed_redis_is_restarted_with_its_data(service: Service) -> None:
    service.is_credited_for(103)
    before = service.redis_pid()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: service.redis_pid() not in {0, before})
    eventually(lambda: "embedded Redis died, starting again" in service.up.said)
    service.is_credited_for(104)
    with Redis.from_url(EmbeddedRedis(service.data).url) as redis:
        assert redis.exists(f"credits:order:{some_id(103)}") == 1


def test_it_logs_its_settings_at_the_start(service: Service) -> None:
    events = [json.loads(line) for line in service.up.said.splitlines()]
    (report,) = [event for event in events if event["event"] == "working with"]
    assert report["polar"].startswith("http://127.0.0.1:")
    assert report["rules"].startswith("1 in ")
    assert (report["alerts"], report["reconciling"]) == ("off", "off")


def test_no_command_line_shows_a_secret(service: Service) -> None:
    assert service.up.part("worker")
    commands = [process.command for process in processes()]
    assert not [command for command in commands if TOKEN in command or SECRET in command]


def test_a_port_in_use_is_a_one_line_error(service: Service, house: House) -> None:
    done = house.credits.with_settings(PORT=str(service.port)).run("up")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert f"cannot listen on 127.0.0.1:{service.port}: Address already in use" in line
    assert "set PORT" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_when_stopped_it_ends_every_process_and_frees_the_port(house: House, number: signal.Signals) -> None:
    with house.credits.running("up") as up:
        service = server_config(house, up)
        pids = service.pids()
        # A terminal sends Ctrl-C to the whole process group.
        os.killpg(os.getpgid(up.pid), number)
        assert up.process.wait(60) == 0
        assert not living(pids[:2])
        eventually(lambda: all_gone(pids))
        assert_port_is_free(service.port)


def test_when_stopped_it_finishes_open_work(house: House) -> None:
    polar_thinks = Held()
    house.polar.faults.append(polar_thinks)
    with house.credits.running("up") as up:
        service = server_config(house, up)
        receiver, worker = up.part("receiver"), up.part("worker")
        with httpx.Client(base_url=service.url) as client:
            delivery_id = post(client, payload("order_paid_purchase"))
        eventually(lambda: not house.polar.faults)
        up.process.send_signal(signal.SIGTERM)
        eventually(lambda: not living([receiver]))
        assert living([worker])
        assert is_refused(service.url)  # by the socket that the processes share
        polar_thinks.released.set()
        assert up.process.wait(60) == 0
    with house.credits.stores() as held:
        (delivery,) = held.deliveries.get([delivery_id])
    assert (delivery.status, delivery.attempts) == (Became.GRANTED, 1)


def test_if_it_is_killed_its_processes_end_and_the_next_start_works(house: House) -> None:
    with house.credits.running("up") as up:
        first = server_config(house, up)
        first.is_credited_for(1)
        pids = first.pids()
        assert up.stop(signal.SIGKILL) == -signal.SIGKILL
        eventually(lambda: all_gone(pids))
    with house.credits.with_settings(PORT=str(first.port)).running("up") as up:
        server_config(house, up).is_credited_for(2)


def test_deliveries_from_an_outage_are_credited_even_after_a_kill(house: House) -> None:
    house.polar.faults.extend([Status(503)] * 100)
    with house.credits.running("up") as up:
        service = server_config(house, up)
        with httpx.Client(base_url=service.url) as client:
            post(client, payload("order_paid_purchase"))
        eventually(lambda: "Polar pause started" in up.said)
        up.stop(signal.SIGKILL)
    house.polar.faults.clear()
    with house.credits.running("up"):
        eventually(lambda: house.polar.balance(CUSTOMER, "api_usage") == 10)
