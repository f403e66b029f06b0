"""A process dies at each boundary of an instalment's way, and ordinary workers then give each exactly once.

The order has paid for a year that began two months ago, so two later instalments are due on each of its two
meters: workers die on the way of number 2, and number 3 shows that it goes on. The order was refunded in
part before it was credited.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from app.demo.polar import CommitThenWait
from tests.chaos.crash_points import INSTALMENT_POINTS, CrashPoint, after
from tests.chaos.crashing_shop import (
    WORK,
    Organization,
    Shop,
    assert_due_within_two_minutes,
    is_idle,
    let_time_pass,
)
from tests.support.builders import CUSTOMER, ORDER, PAID_CENTS, some_id
from tests.support.crashing_cli import DIED, Fate
from tests.support.dates import months_after
from tests.support.doomed_cli import doomed
from tests.support.paid_periods import paid_for, subscription_in
from tests.support.processes import credits_in, eventually, some_polar
from workers.core.delivery import Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

pytestmark = pytest.mark.heavy  # each test starts and kills several processes

METERS = ("api_usage", "images")
RULES = """\
version: 1
meters: {api_usage: {}, images: {}}
rules:
  - name: yearly
    triggers: [subscription_create]
    every: month
    grant: {api_usage: 100, images: 10}
    on_refund: revoke
"""
REFUND_CENTS = PAID_CENTS * 3 // 10
SUBSCRIPTION = some_id(12)

FIRST = {f"credits:order:{ORDER}:api_usage": -100, f"credits:order:{ORDER}:images": -10}
ALL = {
    **FIRST,
    f"credits:refund:{ORDER}:{REFUND_CENTS}:api_usage": 30,
    f"credits:refund:{ORDER}:{REFUND_CENTS}:images": 3,
    **{f"credits:instalment:{ORDER}:{number}:api_usage": -70 for number in (2, 3)},
    **{f"credits:instalment:{ORDER}:{number}:images": -7 for number in (2, 3)},
}
SECOND = [f"instalment-{ORDER}-2-{meter}" for meter in METERS]
REPLAY = ("replay", SECOND[0], "--yes")


@pytest.fixture
def shop(organization: Organization, redis: Redis, redis_url: str, tmp_path: Path) -> Shop:
    """Return a shop whose order has its first instalment alone: the worker that gave it died of it."""
    app, url = organization
    polar = app.state.polar = some_polar()
    polar.add_meter("images")
    shop = Shop(redis=redis, polar=polar, credits=credits_in(tmp_path, url, rules=RULES, REDIS_URL=redis_url))
    begins = months_after(datetime.now(UTC) - timedelta(hours=1), -2)
    order = paid_for(
        begins,
        months_after(begins, 12),
        subscription_id=SUBSCRIPTION,
        id=ORDER,
        customer_id=CUSTOMER,
        net_amount=PAID_CENTS,
        refunded_amount=REFUND_CENTS,
        status="partially_refunded",
    )
    polar.add_subscription(**subscription_in(order))
    shop.receive("msg-order", order)
    die_at(shop, after(Ledger.settle))
    assert given(shop) == FIRST
    return shop


@pytest.mark.parametrize("crash_point", INSTALMENT_POINTS.values(), ids=INSTALMENT_POINTS)
def test_a_worker_that_dies_on_the_way_of_an_instalment_leaves_all_that_the_next_one_needs(
    shop: Shop, crash_point: CrashPoint
) -> None:
    if crash_point.in_replay:
        fail_the_second(shop)
    shop.polar.faults.extend(crash_point.answers)
    die_at(shop, crash_point, *(REPLAY if crash_point.in_replay else WORK))
    if crash_point.events is not None:
        assert sum(":instalment:" in key for key in given(shop)) == crash_point.events
    shop.work()
    if crash_point.in_replay:
        shop.credits.run("replay", SECOND[1], "--yes")
        shop.work()
    assert_each_once(shop)


def test_a_worker_that_is_killed_between_polars_commit_and_its_answer_gives_each_instalment_once(
    shop: Shop,
) -> None:
    shop.polar.faults.append(CommitThenWait(3))
    with shop.credits.running(*WORK) as killed:
        eventually(lambda: len(given(shop)) == len(FIRST) + len(METERS))
        killed.process.kill()
    assert_nothing_is_lost(shop)
    shop.work()
    assert_each_once(shop)


def test_a_worker_that_dies_when_an_instalment_has_to_wait_leaves_it_to_come_once(shop: Shop) -> None:
    active = shop.polar.subscriptions[SUBSCRIPTION]
    shop.polar.add_subscription(**active.model_dump(mode="json") | {"status": "past_due"})
    for crash_point in (after(Ledger.claim), after(Ledger.settle)):
        die_at(shop, crash_point)
    shop.work()
    assert sum(":instalment:" in key for key in given(shop)) == 0
    assert shop.redis.zcard(keys.INSTALMENTS) == len(METERS)
    shop.polar.add_subscription(**active.model_dump(mode="json"))
    let_days_pass(shop.redis)
    shop.work()
    assert_each_once(shop)


def die_at(shop: Shop, crash_point: CrashPoint, *command: str) -> None:
    """Let a command die there, and its leases end; check that all is left that is needed to go on."""
    with doomed(shop.credits, Fate.DIE, crash_point.boundary, *(command or WORK)) as dying:
        assert dying.process.wait(60) == DIED, dying.said
    assert_nothing_is_lost(shop)


def assert_nothing_is_lost(shop: Shop) -> None:
    """Check that the next instalment of each meter is in one place alone, and let time pass."""
    assert_due_within_two_minutes(shop.redis)
    assert places(shop) == dict.fromkeys(METERS, 1)
    let_time_pass(shop.redis)


def places(shop: Shop) -> dict[str, int]:
    """Return by meter how often an instalment is to come: by its date, or as a delivery."""
    members = cast(list[bytes], shop.redis.zrange(keys.INSTALMENTS, 0, -1))
    waiting = [
        one.id for one in DeliveryStore(shop.redis).newest() if one.status in (Status.WAITING, Status.FAILED)
    ]
    prefix = f"instalment-{ORDER}-"
    moved = [id_.removeprefix(prefix).split("-")[1] for id_ in waiting if id_.startswith(prefix)]
    return dict(Counter([member.decode().split(" ")[2] for member in members] + moved))


def fail_the_second(shop: Shop) -> None:
    """Let Polar refuse the second instalments, because it does not know the customer for a while."""
    customer = shop.polar.customers.pop(CUSTOMER)
    shop.work()
    shop.polar.customers[CUSTOMER] = customer
    assert {one.status for one in DeliveryStore(shop.redis).get(SECOND)} == {Status.FAILED}


def let_days_pass(redis: Redis) -> None:
    """Let what waits for its subscription be looked at now: its date has come long ago."""
    for member in cast(list[bytes], redis.zrange(keys.INSTALMENTS, 0, -1)):
        redis.zadd(keys.INSTALMENTS, {member: 1})


def given(shop: Shop) -> dict[str, int]:
    """Return what Polar has, by key."""
    return {one["external_id"]: one["metadata"]["units"] for one in shop.polar.events}


def assert_each_once(shop: Shop) -> None:
    """Polar and the audit trail have each instalment that is due once, and the fourth is to come in time."""
    assert len(shop.polar.events) == len(ALL)
    assert given(shop) == ALL
    trail = cast(list[tuple[bytes, dict[bytes, bytes]]], shop.redis.xrange(keys.AUDIT))
    subjects = sorted(one[b"subject"].decode() for _, one in trail)
    assert subjects == sorted(key if ":instalment:" in key else key.rpartition(":")[0] for key in ALL)
    assert is_idle(shop.redis)
    assert shop.redis.zcard(keys.deliveries(Status.WAITING)) == 0
    assert places(shop) == dict.fromkeys(METERS, 1)
    fourth = [f"{ORDER} 4 {meter}".encode() for meter in METERS]
    assert cast(list[bytes], shop.redis.zrange(keys.INSTALMENTS, 0, -1)) == fourth
    assert shop.redis.scard(keys.DUE_INSTALMENTS) == 0
