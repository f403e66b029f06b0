"""A replica whose clock differs takes over: what the old primary stored holds nothing back."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.demo.polar import create_app
from app.main import create_app as create_receiver
from tests.support.builders import order_webhook, some_id
from tests.support.moving_clock import DAY, HOUR, MINUTE, MovableServer, movable_redis, moves_a_clock
from tests.support.processes import credits_in, eventually, post, some_polar
from tests.support.real_stores import RETAIN, accept, due_ms, ids_of, now_ms, outcome
from tests.support.redis_servers import DURABLE, free_port, name_in
from tests.support.rulebooks import watch_in
from tests.support.servers import running
from workers.core.delivery import Delivery, Status
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.queue import workers_alive
from workers.store.throttle import Throttle

pytestmark = [*moves_a_clock, pytest.mark.heavy]  # workers and replicas live through steps in real time

DIFFERENCES = [-DAY, -10 * MINUTE, HOUR]
SLOW_MS = 20_000


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A primary and its replica, and a name that leads to the primary, as a host name would."""

    primary: MovableServer
    replica: MovableServer
    name: Path

    @property
    def url(self) -> str:
        return f"unix://{self.name}"

    def fail_over(self) -> None:
        """Kill the primary, promote the replica, and let the name lead there."""
        with self.primary.server.client() as old, self.replica.server.client() as new:
            written = old.info("replication")["master_repl_offset"]
            eventually(lambda: new.info("replication")["slave_repl_offset"] >= written)
            self.primary.server.kill()
            new.replicaof("NO", "ONE")
        self.name.unlink()
        self.name.symlink_to(self.replica.server.path)


@pytest.fixture(params=DIFFERENCES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    port = free_port()
    with ExitStack() as stack:
        replicates = ["--port", str(port), "--repl-diskless-sync-delay", "0"]
        primary = stack.enter_context(movable_redis(tmp_path / "one", *DURABLE, *replicates))
        replica = stack.enter_context(movable_redis(tmp_path / "two", ahead=request.param))
        with replica.server.client() as client:
            client.replicaof("127.0.0.1", str(port))
            eventually(lambda: client.info("replication")["master_link_status"] == "up")
        name = name_in(tmp_path / "name")
        name.symlink_to(primary.server.path)
        yield Pair(primary=primary, replica=replica, name=name)


def test_after_a_fail_over_to_another_clock_nothing_waits_longer(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    with Redis.from_url(pair.url) as redis:
        worker = GrantWorker(redis, rulebook=watch_in(tmp_path / "rules").rulebook, retain=RETAIN)
        worker.register_birth()  # type: ignore[no-untyped-call]  # RQ has no types here
        worker.tick()
        store, throttle = DeliveryStore(redis), Throttle(redis)
        accept(pair.url, "retried")
        (retried,) = store.lease(10).deliveries
        put_off = outcome(retried, Status.WAITING, "Polar answered 500", after_seconds=810, strike=True)
        Ledger(redis, retain=RETAIN).settle([], [put_off])
        assert throttle.take_request()
        accept(pair.url, "before")
        pair.fail_over()
        redis.connection_pool.disconnect()
        worker.tick()
        accept(pair.url, "after")
        assert throttle.current_pause() is None
        assert throttle.take_request()
        assert sorted({"before", "after"} & set(ids_of(store.lease(10).deliveries))) == ["after", "before"]
        assert (due_ms(redis, "retried") or 0) <= now_ms(redis) + 810_000 + SLOW_MS
        assert redis.hget(keys.CLOCK, "steps") == b"1"
        assert workers_alive(redis) == 1


@pytest.mark.parametrize("step", [-HOUR, DAY])
def test_a_worker_process_credits_what_came_before_and_after_a_step(tmp_path: Path, step: int) -> None:
    """While RQ waits for a job, a clock that was set back keeps the server from ending the wait."""
    polar = some_polar(*map(some_id, range(1, 4)))
    with movable_redis(tmp_path / "redis") as movable, running(create_app(polar)) as polar_url:
        credits_ = credits_in(tmp_path, polar_url, REDIS_URL=movable.url)
        with (
            running(create_receiver(credits_.read())) as url,
            credits_.running("work") as work,
            httpx.Client(base_url=url) as client,
            movable.server.client() as redis,
        ):
            eventually(lambda: workers_alive(redis))
            post(client, order_webhook(id=some_id(1), customer_id=some_id(1)))
            eventually(lambda: len(polar.events) == 1)
            assert abs(int(eventually(lambda: redis.get(keys.POLAR_CLOCK)) or 0)) < SLOW_MS
            movable.set_clock(step)
            post(client, order_webhook(id=some_id(2), customer_id=some_id(2)))
            eventually(lambda: len(polar.events) == 2)
            eventually(lambda: "the clock of Redis stepped" in work.said)
            eventually(lambda: workers_alive(redis))
            post(client, order_webhook(id=some_id(3), customer_id=some_id(3)))
            eventually(lambda: len(polar.events) == 3)
        assert [one.status for one in _deliveries(movable)] == [Status.GRANTED] * 3


def _deliveries(movable: MovableServer) -> list[Delivery]:
    with movable.server.client() as redis:
        return list(DeliveryStore(redis).newest())
