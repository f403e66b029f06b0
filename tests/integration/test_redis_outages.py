"""``credits up`` on a Redis that dies, is demoted or is full: it answers 503 and recovers by itself."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from starlette.responses import Response

from app.demo.polar import create_app
from tests.support.builders import some_id
from tests.support.processes import credits_in, eventually, some_polar
from tests.support.real_stores import let_leases_end
from tests.support.redis_servers import DURABLE, Server, name_in, own_redis
from tests.support.running_services import AWAY, Service, demoted, service_on
from tests.support.servers import running

pytestmark = pytest.mark.heavy  # servers stop, fail over and fill their disks

Trouble = Callable[[Server], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with own_redis(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def service(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield one service for all tests: each outage must leave it fit for the next."""
    with service_on(server.url, tmp_path_factory.mktemp("service")) as started:
        yield started


@contextmanager
def killed(server: Server) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def out_of_memory(server: Server) -> Iterator[None]:
    with server.client() as redis:
        redis.config_set("maxmemory", 1)
        yield
        redis.config_set("maxmemory", 0)


TROUBLES = pytest.mark.parametrize(
    ("number", "trouble"),
    [(1, killed), (2, demoted), (3, out_of_memory), (4, killed)],
    ids=["killed", "demoted", "out of memory", "killed again"],
)


@TROUBLES
def test_the_same_processes_survive_an_outage(
    service: Service, server: Server, number: int, trouble: Trouble
) -> None:
    service.is_credited_for(number)
    parts = service.up.part("receiver"), service.up.part("worker")
    before = away_lines(service)
    with trouble(server):
        eventually(service.waits)
        assert service.deliver(number + 100) == 503
    service.is_credited_for(number + 100)
    eventually(lambda: not service.waits())
    assert (service.up.part("receiver"), service.up.part("worker")) == parts
    logged = away_lines(service) - before
    assert logged
    assert set(logged.values()) == {1}  # one line for each process that noticed
    assert all(line["reason"] for line in service.said(AWAY))


def away_lines(service: Service) -> Counter[str]:
    """Return how often each process has logged that Redis is away."""
    return Counter(line["process"] for line in service.said(AWAY))


def test_outages_leave_one_worker_registered_and_no_dead_ones(service: Service, server: Server) -> None:
    for _ in range(3):
        with demoted(server):
            eventually(service.waits)
        eventually(lambda: not service.waits())
    with server.client() as redis:
        assert redis.scard("rq:workers") == redis.scard("rq:workers:credit-granter") == 1
        assert len(redis.keys("rq:worker:*")) == 1


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """A fault: Polar stores the events, and answers when the test lets it."""

    asked: Event = field(default_factory=Event)
    released: Event = field(default_factory=Event)

    async def __call__(self, answer: Callable[[], Response]) -> Response:
        """Store the events, wait, then answer."""
        given = answer()
        self.asked.set()
        while not self.released.is_set():
            await asyncio.sleep(0.01)
        return given


@pytest.mark.parametrize("trouble", [killed, demoted])
def test_an_outage_during_a_job_loses_nothing_and_credits_once(
    service: Service, server: Server, trouble: Trouble
) -> None:
    number = 21 if trouble is killed else 22
    before, thinking = service.balance(), Thinking()
    service.polar.faults.append(thinking)
    assert service.deliver(number) == 202
    eventually(thinking.asked.is_set)
    with trouble(server):
        thinking.released.set()
        eventually(service.waits)
    with server.client() as redis:
        key = f"credits:delivery:msg-{number}"
        assert redis.hget(key, "status") == b"waiting"
        let_leases_end(redis)
        eventually(lambda: redis.hget(key, "status") == b"granted")
    assert service.balance() == before + 10


def test_a_name_is_followed_to_another_server_after_a_failover(tmp_path: Path) -> None:
    name = name_in(tmp_path)
    with own_redis(tmp_path / "old") as old, own_redis(tmp_path / "new") as new:
        name.symlink_to(old.path)
        with service_on(f"unix://{name}", tmp_path) as service:
            service.is_credited_for(1)
            with old.client() as redis:
                redis.replicaof("127.0.0.1", 1)
            eventually(service.waits)
            name.unlink()
            name.symlink_to(new.path)
            service.is_credited_for(2)
        with new.client() as redis:
            assert redis.exists(f"credits:order:{some_id(2)}") == 1


@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_the_service_survives_a_full_disk_whether_redis_refuses_writes_or_ends(
    tmp_path: Path, fsync: str
) -> None:
    with (
        own_redis(tmp_path, *DURABLE[:3], fsync, disk_blocks=200) as server,
        service_on(server.url, tmp_path) as service,
    ):
        service.is_credited_for(1)
        server.fill_disk()
        eventually(service.waits)
        assert service.deliver(2) == 503
        server.make_room()
        service.is_credited_for(2)
        assert service.deliver(1) == 202
        assert service.balance() == 20


def test_a_service_that_starts_before_its_redis_waits_for_it(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        server.kill()
        polar = some_polar()
        with running(create_app(polar)) as polar_url:
            credits_ = credits_in(tmp_path, polar_url, REDIS_URL=server.url)
            with credits_.running("up") as up:
                eventually(lambda: AWAY in up.said)
                server.start()
                service = Service(up=up, url=up.url(), polar=polar, credits=credits_)
                service.is_credited_for(1)
                eventually(lambda: not service.waits())


def test_a_burst_does_not_wait_for_a_redis_that_is_down(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        server.kill()
        done = credits_in(tmp_path, "http://127.0.0.1:9", REDIS_URL=server.url).run("work", "--burst")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "Redis" in line
