"""Credit events and the clock of Redis: three days are three days, and a step delays nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.event_receivers import FakeStorefront, let_events_be_due, sender_to
from tests.support.moving_clock import DAY, HOUR, MINUTE, MovableServer, movable_redis, moves_a_clock
from tests.support.real_stores import RETAIN, now_ms, scores, settled_story
from tests.support.rulebooks import watch_in
from tests.support.years import ORDER, date, years
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.clock import ClockWatch
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.outbox import Outbox

pytestmark = moves_a_clock

REFUSING = FakeStorefront(answer=lambda _event: "answered 500")
SLOW_MS = 20_000  # what the machine may need for a test's own steps


@pytest.fixture
def movable(tmp_path: Path) -> Iterator[MovableServer]:
    with movable_redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def redis(movable: MovableServer) -> Iterator[Redis]:
    """Return a client of a Redis in whose outbox is one event, which the storefront has refused."""
    with movable.server.client() as client:
        ledger = Ledger(client, retain=RETAIN, tells_storefront=True)
        settled_story(movable.url, DeliveryStore(client), ledger)
        sender_to(client, REFUSING).send_due()
        yield client


def waits_ms(redis: Redis) -> float:
    (due,) = scores(redis, keys.OUTBOX).values()
    return due - now_ms(redis)


class Passing:
    """A steady clock; time passes for it when a test says so."""

    seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.seconds


def worker_with(redis: Redis, folder: Path, steady_seconds: Passing) -> GrantWorker:
    """Return a worker that has ticked, with this steady clock."""
    (folder / "rules").mkdir()
    worker = GrantWorker(redis, rulebook=watch_in(folder / "rules").rulebook, retain=RETAIN)
    worker._clock = ClockWatch(redis, steady_seconds)
    worker.tick()
    return worker


def test_an_event_is_sent_again_for_three_days_and_then_given_up(
    movable: MovableServer, redis: Redis, tmp_path: Path
) -> None:
    steady = Passing()
    worker = worker_with(redis, tmp_path, steady)
    for later, waiting in ((HOUR, 1), (3 * DAY - MINUTE, 1), (3 * DAY + MINUTE, 0)):
        steady.seconds = later
        movable.set_clock(later)
        worker.tick()
        sender_to(redis, REFUSING).send_due()
        assert redis.zcard(keys.OUTBOX) == waiting
    assert redis.zcard(keys.OUTBOX_GIVEN_UP) == 1


@pytest.mark.parametrize("step", [4 * DAY, -4 * DAY])
def test_no_step_of_the_clock_gives_an_event_up(
    movable: MovableServer, redis: Redis, tmp_path: Path, step: int
) -> None:
    steady = Passing()
    worker = worker_with(redis, tmp_path, steady)
    movable.set_clock(step)
    let_events_be_due(redis)
    sender_to(redis, REFUSING).send_due()  # before a worker has noticed
    for is_over in (False, False, True):
        worker.tick()
        let_events_be_due(redis)
        sender_to(redis, REFUSING).send_due()
        assert (redis.zcard(keys.OUTBOX), redis.zcard(keys.OUTBOX_GIVEN_UP)) == (1 - is_over, is_over)
        steady.seconds += 1.5 * DAY
        movable.set_clock(step + round(steady.seconds))


def test_a_worker_that_notices_a_step_back_lets_an_event_wait_no_longer_than_before(
    movable: MovableServer, redis: Redis, tmp_path: Path
) -> None:
    worker = worker_with(redis, tmp_path, Passing())
    movable.set_clock(-DAY)
    worker.tick()
    assert waits_ms(redis) <= 5_000 + SLOW_MS


def test_a_sender_alone_lets_no_event_wait_longer_than_it_ever_can(
    movable: MovableServer, redis: Redis
) -> None:
    movable.set_clock(-DAY)
    assert len(Outbox(redis).lease(10)) == 1
    assert waits_ms(redis) <= 60_000


def test_each_instalment_is_told_when_it_is_given_with_the_customers_own_id(tmp_path: Path) -> None:
    with years(tmp_path) as service:
        service.ledger.tells_storefront = True
        storefront = FakeStorefront()
        service.buy()
        service.work()
        sender_to(service.redis, storefront).send_due()
        service.go_to(date(2, 28))
        service.work()
        sender_to(service.redis, storefront).send_due()
    first, second = (one["data"] for one in storefront.told)
    assert second["key"] == f"credits:instalment:{ORDER}:2:api_usage"
    assert (second["order_id"], second["credits"], second["rules"]) == (ORDER, 1000, ["pro"])
    assert second["external_customer_id"] == first["external_customer_id"] is not None
    assert storefront.told[1]["timestamp"].startswith("2027-02-28T12:00")
