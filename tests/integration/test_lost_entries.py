"""A Redis that has lost its newest entries: a receiver and a worker notice, and a rebuild ends it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from redis import Redis
from structlog.testing import capture_logs

from app.main import create_app
from tests.support.ledgers import rebuild, refunding_operations_at
from tests.support.processes import TEN, TOKEN, eventually
from tests.support.real_stores import settled_story
from tests.support.receivers import OPS_TOKEN, PAID, deliver, health, settings_for
from tests.support.redis_servers import DURABLE, Server, free_port, name_in, own_redis
from tests.support.servers import running
from workers.monitoring.health import Check, examine
from workers.runtime.worker import worker_for
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.losses import LOST, TO_DO, LedgerWatch, lost_at
from workers.timings import Timings

pytestmark = pytest.mark.heavy  # servers fail over in real time

SOON = Timings(loss_check_seconds=0.05)


def ledger_check(redis: Redis) -> Check:
    (found,) = [one for one in examine(redis) if one.name == "ledger"]
    return found


@pytest.fixture
def settled(redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger) -> LedgerWatch:
    """Return a worker's watch that has seen a settled grant."""
    settled_story(redis_url, store, ledger)
    watch = LedgerWatch(redis)
    watch.check()
    watch.check()
    assert ledger_check(redis).ok
    return watch


def lose_newest(redis: Redis) -> None:
    """Lose the newest entry of the audit trail."""
    ((newest, _),) = cast(list[tuple[bytes, object]], redis.xrevrange(keys.AUDIT, count=1))
    redis.xdel(keys.AUDIT, newest)


def settle_another(redis: Redis) -> None:
    redis.xadd(keys.AUDIT, {"subject": "credits:order:other", "meter": "api_usage"})


def test_a_worker_notices_that_the_newest_grants_are_gone(redis: Redis, settled: LedgerWatch) -> None:
    lose_newest(redis)
    with capture_logs() as lines:
        settled.check()
        settled.check()
    assert [(line["event"], line["lost"]) for line in lines] == [(LOST, "settled grants")]
    found = ledger_check(redis)
    assert not found.ok
    assert TO_DO in found.detail


def test_newer_grants_do_not_hide_the_loss(redis: Redis, settled: LedgerWatch) -> None:
    lose_newest(redis)
    settle_another(redis)
    settled.check()
    assert lost_at(redis)


def test_grants_of_other_workers_are_no_loss(redis: Redis, settled: LedgerWatch) -> None:
    settle_another(redis)
    settled.check()
    settle_another(redis)
    settled.check()
    assert lost_at(redis) is None


def test_a_running_worker_watches_at_each_tick(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(TEN)
    worker = worker_for(
        settings_for(redis_url, POLAR_ACCESS_TOKEN=TOKEN, CREDITS_RULES=str(rules)), redis_url
    )
    settle_another(redis)
    worker.tick()
    lose_newest(redis)
    worker.tick()
    assert lost_at(redis)


def test_a_redis_that_was_emptied_is_noticed_and_its_worker_counts_as_alive(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(TEN)
    settings = settings_for(redis_url, POLAR_ACCESS_TOKEN=TOKEN, CREDITS_RULES=str(rules))
    worker = worker_for(settings, redis_url)
    settle_another(redis)
    worker.tick()
    redis.flushall()
    worker.tick()
    checks = {one.name: one for one in examine(redis)}
    assert (checks["workers"].ok, checks["workers"].detail) == (True, "1 alive")
    assert not checks["ledger"].ok
    assert checks["ledger"].detail.startswith(LOST)
    assert TO_DO in checks["ledger"].detail


def test_a_rebuild_ends_it_and_a_dry_run_does_not(redis: Redis) -> None:
    with refunding_operations_at(redis) as operations:
        redis.set(keys.LOST, 1)
        rebuild(operations)
        assert lost_at(redis) is None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A primary and its replica, and the name that leads to the primary."""

    name: Path
    primary: Server
    replica: Server

    def promote_replica(self) -> None:
        """Promote the replica, which the primary does not know yet."""
        with self.replica.client() as redis:
            redis.replicaof("NO", "ONE")

    def follow(self) -> None:
        """Make the old primary a replica of the new one, and let the name lead to the new one."""
        with self.primary.client() as redis:
            redis.replicaof("127.0.0.1", port_of(self.replica))
        self.name.unlink()
        self.name.symlink_to(self.replica.path)


def port_of(server: Server) -> int:
    with server.client() as redis:
        return int(cast(dict[str, str], redis.config_get("port"))["port"])


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    """Run a primary with a replica while the block runs."""
    name = name_in(folder)
    with (
        own_redis(folder / "one", *DURABLE, "--port", str(free_port())) as primary,
        own_redis(folder / "two", *DURABLE, "--port", str(free_port())) as replica,
    ):
        name.symlink_to(primary.path)
        with replica.client() as redis:
            redis.replicaof("127.0.0.1", port_of(primary))
            eventually(lambda: redis.info("replication")["master_link_status"] == "up")
        yield Pair(name=name, primary=primary, replica=replica)


def test_a_receiver_names_what_a_fail_over_has_lost_and_refuses_no_webhook(tmp_path: Path) -> None:
    with pair(tmp_path) as servers:
        settings = settings_for(f"unix://{servers.name}", CREDITS_OPS_TOKEN=OPS_TOKEN)
        with running(create_app(settings, SOON)) as url, capture_logs() as lines:
            assert deliver(url, PAID, "msg-1").status_code == 202
            with servers.primary.client() as redis:
                assert redis.wait(1, 10_000) == 1
            servers.promote_replica()
            for number in (2, 3):
                assert deliver(url, PAID, f"msg-{number}").status_code == 202
            servers.follow()
            assert deliver(url, PAID, "msg-4").status_code == 202  # by a new connection
            (line,) = eventually(lambda: [one for one in lines if one["event"] == LOST])
            assert (line["count"], line["deliveries"]) == (2, ["msg-2", "msg-3"])
            checks = health(url, f"Bearer {OPS_TOKEN}")["checks"]
            assert TO_DO in checks["ledger"]["detail"]


def test_a_fail_over_that_lost_nothing_is_not_reported(tmp_path: Path) -> None:
    with pair(tmp_path) as servers:
        with running(create_app(settings_for(f"unix://{servers.name}"), SOON)) as url:
            assert deliver(url, PAID, "msg-1").status_code == 202
            with servers.primary.client() as redis:
                assert redis.wait(1, 10_000) == 1
            servers.promote_replica()
            servers.follow()
            assert deliver(url, PAID, "msg-2").status_code == 202
        with servers.replica.client() as redis:
            assert lost_at(redis) is None


def test_a_primary_without_its_replica_takes_nothing_where_it_was_told_to(tmp_path: Path) -> None:
    """What ``min-replicas-to-write 1`` is for: nothing is confirmed that a fail-over would lose."""
    with pair(tmp_path) as servers:
        with servers.primary.client() as redis:
            redis.config_set("min-replicas-to-write", 1)
        with running(create_app(settings_for(f"unix://{servers.name}"), SOON)) as url:
            assert deliver(url, PAID, "msg-1").status_code == 202
            servers.promote_replica()
            with servers.primary.client() as redis:
                eventually(lambda: redis.info("replication")["connected_slaves"] == 0)
            assert deliver(url, PAID, "msg-2").status_code == 503
            servers.name.unlink()
            servers.name.symlink_to(servers.replica.path)
            assert deliver(url, PAID, "msg-2").status_code == 202
