"""A process dies or freezes at each boundary, and an ordinary worker then makes each credit exactly once.

The order of these tests crosses every script that touches credits: two meters, a bonus for the customer, and
a refund that arrives before the order. Real processes die by ``os._exit``. The tests check that everything
left is due within two minutes, and then make it due at once.
"""

import os
import signal
import time
from pathlib import Path
from typing import cast

import httpx
import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from app.receiver.signature import sign
from app.receiver.webhooks import WebhookEndpoint
from tests.chaos.crash_points import CRASH_POINTS, DOWN, CrashPoint, before
from tests.chaos.crashing_shop import (
    WORK,
    Organization,
    Shop,
    assert_due_within_two_minutes,
    is_idle,
    let_time_pass,
)
from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook
from tests.support.crashing_cli import DIED, Fate
from tests.support.doomed_cli import doomed
from tests.support.processes import SECRET, credits_in, eventually, some_polar
from tests.support.real_stores import QUEUE
from workers.core.delivery import Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.intake import Intake

pytestmark = pytest.mark.heavy  # each test starts and kills several processes

RULES = """\
version: 1
meters: {api_usage: {}, images: {}}
rules:
  - {name: pack, grant: {api_usage: 100, images: 8}, on_refund: revoke}
  - {name: bonus, once_per: customer, grant: {api_usage: 50}}
"""

NO_RULES = "version: 1\nmeters: {api_usage: {}, images: {}}\nrules: []\n"

PURCHASE, REFUND = "msg-purchase", "msg-refund"
PURCHASED, REFUNDED = order_webhook(id=ORDER), refund_webhook(300)

ONE_CREDIT = {
    f"credits:order:{ORDER}:api_usage": -100,
    f"credits:order:{ORDER}:images": -8,
    f"credits:customer:{CUSTOMER}:bonus:api_usage": -50,
    f"credits:refund:{ORDER}:300:api_usage": 30,
    f"credits:refund:{ORDER}:300:images": 2,
}

REPLAY = ("replay", PURCHASE, "--yes")


@pytest.fixture
def shop(organization: Organization, redis: Redis, redis_url: str, tmp_path: Path) -> Shop:
    """Return a shop that has received a refund but not its order; no worker has run."""
    app, url = organization
    polar = app.state.polar = some_polar()
    polar.add_meter("images")
    shop = Shop(redis=redis, polar=polar, credits=credits_in(tmp_path, url, rules=RULES, REDIS_URL=redis_url))
    shop.receive(REFUND, REFUNDED)
    return shop


@pytest.fixture
def due(shop: Shop) -> Shop:
    """Return a shop that has received the order as well."""
    shop.receive(PURCHASE, PURCHASED)
    return shop


@pytest.mark.parametrize("crash_point", CRASH_POINTS.values(), ids=CRASH_POINTS)
def test_a_worker_that_dies_anywhere_leaves_all_that_the_next_one_needs(
    due: Shop, crash_point: CrashPoint
) -> None:
    lead_up_to(crash_point, due)
    command = REPLAY if crash_point.in_replay else WORK
    with doomed(due.credits, Fate.DIE, crash_point.boundary, *command) as dying:
        assert dying.process.wait(60) == DIED, dying.said
    if crash_point.events is not None:
        assert len(due.polar.events) == crash_point.events
    assert_due_within_two_minutes(due.redis)
    let_time_pass(due.redis)
    due.work()
    assert_one_credit(due)


def test_a_receiver_that_dies_when_the_delivery_is_stored_and_its_drain_queued_has_done_enough(
    shop: Shop,
) -> None:
    assert_receiver_dies(shop, before(WebhookEndpoint._confirm))
    shop.work()
    assert_one_credit(shop)
    assert shop.receive(PURCHASE, PURCHASED) == "duplicate"  # without an answer, Polar sends it again
    shop.work()
    assert_one_credit(shop)


def test_a_receiver_that_dies_before_it_stored_the_delivery_has_not_said_that_it_did(shop: Shop) -> None:
    assert_receiver_dies(shop, before(Intake.put))
    assert not shop.redis.exists(keys.delivery(PURCHASE))
    assert shop.receive(PURCHASE, PURCHASED) == "accepted"  # without an answer, Polar sends it again
    shop.work()
    assert_one_credit(shop)


def test_a_queue_that_was_emptied_by_hand_costs_nobody_a_credit(due: Shop) -> None:
    assert due.redis.delete(QUEUE, *jobs_of(due.redis)) == 2
    due.work()
    assert_one_credit(due)


def test_a_job_whose_hash_expired_costs_nobody_a_credit(due: Shop) -> None:
    assert due.redis.delete(*jobs_of(due.redis)) == 1
    with due.credits.running("work"):
        eventually(lambda: is_idle(due.redis))
    assert_one_credit(due)


def test_a_burst_works_on_what_is_due_though_the_only_job_has_lost_its_hash(due: Shop) -> None:
    due.redis.delete(*jobs_of(due.redis))
    due.work()
    assert is_idle(due.redis)


def test_a_job_that_this_version_does_not_know_costs_nobody_a_credit(shop: Shop) -> None:
    """While it waits, no drain job is queued; the tick queues one when it is gone."""
    queue = Queue("credit-granter", connection=shop.redis, serializer=JSONSerializer)
    shop.redis.delete(QUEUE)
    unknown = queue.enqueue("workers.jobs.of_another_version")
    shop.receive(PURCHASE, PURCHASED)
    assert queue.job_ids == [unknown.id]
    with shop.credits.running("work"):
        eventually(lambda: is_idle(shop.redis))
    assert_one_credit(shop)


FROZEN = (
    "delivery leased",
    "claim written, its request allowed",
    "refund's request allowed",
    "answer received",
)


@pytest.mark.parametrize("name", FROZEN)
def test_a_worker_frozen_past_its_lease_gives_nothing_more_when_it_wakes(due: Shop, name: str) -> None:
    with doomed(due.credits, Fate.FREEZE, CRASH_POINTS[name].boundary, *WORK) as frozen:
        _, status = os.waitpid(frozen.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), frozen.said
        assert_due_within_two_minutes(due.redis)
        let_time_pass(due.redis)
        let_rq_forget(due.redis)
        due.work()
        assert_one_credit(due)
        assert frozen.stop(signal.SIGCONT) == 0, frozen.said
    assert_one_credit(due)


def lead_up_to(crash_point: CrashPoint, shop: Shop) -> None:
    """Bring the shop to the state that this crash point needs."""
    if crash_point.in_outage:
        shop.polar.faults.extend(DOWN * 100)  # a slow worker may send again when its pause is over
        shop.work()
        shop.polar.faults.clear()
        let_time_pass(shop.redis)
    if crash_point.in_replay:  # the delivery is skipped first, so that only the replay makes it due again
        shop.follow(NO_RULES)
        shop.work()
        shop.follow(RULES)
    shop.polar.faults.extend(crash_point.answers)


def assert_receiver_dies(shop: Shop, crash_point: CrashPoint) -> None:
    """Send the purchase to a receiver that dies of it and gives no answer."""
    headers = sign(SECRET, PURCHASE, int(time.time()), PURCHASED)
    with doomed(shop.credits, Fate.DIE, crash_point.boundary, "serve") as dying:
        url = f"{dying.url()}/webhooks/polar"
        with pytest.raises(httpx.TransportError):
            httpx.post(url, content=PURCHASED, headers=headers, timeout=30)
        assert dying.process.wait(60) == DIED, dying.said


def jobs_of(redis: Redis) -> list[bytes]:
    """Return the keys of RQ's jobs."""
    return list(redis.scan_iter("rq:job:*"))


def let_rq_forget(redis: Redis) -> None:
    """Delete everything that RQ stores about workers and jobs."""
    redis.delete(*redis.scan_iter("rq:*"))


def assert_one_credit(shop: Shop) -> None:
    """Polar, ledger and audit trail have each credit once, and no work is left."""
    assert len(shop.polar.events) == len(ONE_CREDIT)
    assert {one["external_id"]: one["metadata"]["units"] for one in shop.polar.events} == ONE_CREDIT
    trail = cast(list[tuple[bytes, dict[bytes, bytes]]], shop.redis.xrange(keys.AUDIT))
    audited = [f"{one[b'subject'].decode()}:{one[b'meter'].decode()}" for _, one in trail]
    assert sorted(audited) == sorted(ONE_CREDIT)
    purchase, refund = DeliveryStore(shop.redis).get([PURCHASE, REFUND])
    assert purchase.status is Status.GRANTED
    # A worker that had both at once has taken credits back for the refund; else the refund was skipped.
    assert refund.status in {Status.GRANTED, Status.SKIPPED}
    assert is_idle(shop.redis)
    assert shop.redis.zcard(keys.deliveries(Status.WAITING)) == 0
