"""Every key in Redis is known, and lives as long as it should."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.fake_polar import FakePolar
from tests.support.next_instalments import DescribedSubscriptions
from tests.support.real_stores import RETAIN, accept, check_readiness, let_leases_end, let_pause_end
from tests.support.recordings import payload
from tests.support.rulebooks import watch_in
from tests.support.sealing import seal
from workers import jobs
from workers.core.delivery import Status
from workers.core.manual import ManualGrant, ManualRevoke
from workers.errors import PolarUnreachableError
from workers.pipeline.granter import Granter
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

BY_HAND = (
    ManualGrant(
        key="beta",
        customer=CUSTOMER,
        customer_id=CUSTOMER,
        meter="images",
        property_name="units",
        units=Decimal(5),
        reason="why not",
    ),
    ManualRevoke(order_id=some_id(1), customer_id=CUSTOMER),
)

NEVER, SOME_DAY = False, True
UUID = "[0-9a-f-]{36}"

RULES = rules_of(
    rule("pack", {"api_usage": 10}, on_refund="revoke"),
    rule("bonus", {"api_usage": 50}, once_per="customer"),
    rule("included", {"images": 3}, triggers=["subscription.cycled"]),
    rule("welcome", {"api_usage": 25}, triggers=["customer.created"]),
    rule("monthly", {"images": 9}, every="month", triggers=["subscription_create"]),
)
YEARLY = order_webhook("order_paid_subscription_create_yearly", id=some_id(6), customer_id=CUSTOMER)
STORY = [
    order_webhook(id=some_id(1)),
    order_webhook(id=some_id(1)),  # the same order by another delivery
    order_webhook("order_paid_subscription_cancel_final_invoice", id=some_id(2)),
    order_webhook(id=some_id(3)),
    order_webhook(id=some_id(4), customer_id=some_id(4)),  # Polar does not know them
    b"no event",
    refund_webhook(300, id=some_id(1)),
    refund_webhook(300, id=some_id(5)),  # of an order that never comes
    payload("subscription_cycled"),
    payload("customer_created"),
    YEARLY,
]

KNOWN = {
    r"credits:due": NEVER,
    r"credits:instalments(_due)?": NEVER,
    rf"credits:instalment:{UUID}:[0-9]+:(images|api_usage|seconds)": NEVER,
    rf"credits:chain:{UUID}": NEVER,
    r"credits:audit(:[0-9]+)?": NEVER,
    r"credits:(facts|newest):[0-9]+": NEVER,
    r"credits:(sealed|templates)": NEVER,
    r"credits:counts": NEVER,
    r"credits:day:[0-9]+": SOME_DAY,
    r"credits:format": NEVER,
    r"credits:migration": SOME_DAY,
    r"credits:customers": NEVER,
    r"credits:clock": NEVER,
    r"credits:polar_clock": SOME_DAY,
    r"credits:workers": NEVER,
    r"credits:rules": SOME_DAY,
    r"credits:alerts": NEVER,
    r"credits:watch": SOME_DAY,
    r"credits:muted:(failed|mismatch|stuck|polar|ledger|webhooks|endpoint|events|well)": SOME_DAY,
    r"credits:ready": SOME_DAY,
    r"credits:endpoint(_look)?": SOME_DAY,
    r"credits:webhooks": NEVER,
    r"credits:began": NEVER,
    r"credits:compared": SOME_DAY,
    r"credits:reconciled": SOME_DAY,
    r"credits:disputable": NEVER,
    r"credits:(unconfirmed|mismatches)": NEVER,
    r"credits:told:[0-9]+:[0-9a-f]{3}": SOME_DAY,
    r"credits:outbox(:(refused|attempts|failures|sent|given_up))?": NEVER,
    r"credits:pause": SOME_DAY,
    r"credits:confirming": SOME_DAY,
    r"credits:outage": SOME_DAY,
    r"credits:probe": SOME_DAY,
    r"credits:budget": SOME_DAY,
    r"credits:reduced": SOME_DAY,
    r"credits:pruned": SOME_DAY,
    r"credits:deliveries:(waiting|granted|skipped|failed)": NEVER,
    rf"credits:about:{UUID}": SOME_DAY,  # in this story; for ever where one failed that claimed nothing
    rf"credits:order:{some_id(5)}": SOME_DAY,  # only refunded
    rf"credits:order:(?!{some_id(5)}){UUID}": NEVER,
    rf"credits:cycle:{UUID}:[0-9]+": NEVER,
    rf"credits:customer:{UUID}(:[A-Za-z0-9._-]+)?": NEVER,
    rf"credits:refund:{UUID}:[0-9]+": NEVER,
    rf"credits:dispute:{UUID}": NEVER,
    rf"credits:manual:beta:{UUID}:images": NEVER,
    rf"credits:revoke:{UUID}:api_usage": NEVER,
    r"rq:job:.+": SOME_DAY,
    r"rq:results?:.+": SOME_DAY,
    r"rq:worker:.+": SOME_DAY,
    r"rq:workers(:credit-granter)?": NEVER,
    r"rq:queues": NEVER,
    r"rq:queue:credit-granter": NEVER,
    r"rq:(finished|failed|wip|started|canceled|scheduled|deferred):credit-granter": NEVER,
    r"rq:(clean_registries|clean_groups|intermediate|suspended|executions?).*": SOME_DAY,
}
"""The keys that there may be, by what they look like; whether they must have a lifetime."""

SUBJECTS = {b"order", b"instalment", b"cycle", b"customer", b"refund", b"revoke"}


def unaccounted(redis: Redis, store: DeliveryStore) -> list[str]:
    """Return keys that are unknown, or that have the wrong lifetime."""
    known = dict(KNOWN)
    for delivery in store.newest():
        expires = delivery.status in {Status.GRANTED, Status.SKIPPED}
        known[re.escape(keys.delivery(delivery.id))] = expires
        known[re.escape(keys.body(delivery.id))] = expires
    found = []
    for key in sorted(one.decode() for one in cast(list[bytes], redis.keys())):
        lifetimes = [lives for form, lives in known.items() if re.fullmatch(form, key)]
        expires = redis.ttl(key) != -1
        if lifetimes != [expires]:
            found.append(f"{key} ({'expires' if expires else 'lives for ever'})")
    return found


@contextmanager
def signals_kept() -> Iterator[None]:
    """Restore the signal handlers that RQ's worker replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_after_a_whole_story_every_key_is_known_and_has_the_right_lifetime(
    redis: Redis,
    redis_url: str,
    store: DeliveryStore,
    ledger: Ledger,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rulebook = watch_in(tmp_path).rulebook
    polar = FakePolar(known=lambda customer: customer != some_id(4))
    granter = Granter(
        deliveries=store,
        ledger=ledger,
        throttle=Throttle(redis),
        polar=polar,
        rules=lambda: RULES,
        subscriptions=DescribedSubscriptions(
            row={"status": "active", "product_id": json.loads(YEARLY)["data"]["product_id"]},
            at=datetime(2027, 1, 15, tzinfo=UTC),
        ),
    )
    monkeypatch.setattr(jobs, "_granter", granter)

    def work() -> list[str]:
        with signals_kept():
            GrantWorker(redis, rulebook=rulebook, retain=RETAIN).work(burst=True, logging_level="WARNING")
        return unaccounted(redis, store)

    check_readiness(redis_url)
    for number, body in enumerate(STORY):
        accept(redis_url, f"msg-{number}", body=body)
    polar.script = [PolarUnreachableError("no answer")]
    assert work() == []  # paused
    assert store.count_by_status()[Status.WAITING] > 0
    let_pause_end(redis)
    let_leases_end(redis)
    accept(redis_url, "msg-0")
    assert work() == []  # the probe, and on
    let_leases_end(redis)
    accept(redis_url, "msg-0", "msg-1", "msg-2", "msg-3")
    assert work() == []
    assert store.count_by_status() == {
        Status.WAITING: 0,
        Status.GRANTED: 6,
        Status.SKIPPED: 4,
        Status.FAILED: 2,
    }
    assert redis.exists(keys.DUE, keys.PAUSE, keys.OUTAGE, keys.PROBE) == 0
    store.reopen(["msg-4", "msg-5"])
    let_leases_end(redis)
    GrantWorker(redis, rulebook=rulebook, retain=RETAIN).tick()
    assert work() == []
    assert store.count_by_status()[Status.FAILED] == 2
    assert ledger.count_grants() == 8
    store.store_and_lease([one.delivery() for one in BY_HAND])
    assert unaccounted(redis, store) == []
    let_leases_end(redis)
    assert work() == []
    assert ledger.count_grants() == 10
    redis.zadd(keys.INSTALMENTS, {f"{some_id(6)} 2 images": 1}, xx=True)
    GrantWorker(redis, rulebook=rulebook, retain=RETAIN).tick()
    assert redis.exists(keys.DUE_INSTALMENTS) == 1
    assert unaccounted(redis, store) == []
    assert work() == []
    assert ledger.count_grants() == 11
    assert {name.split(b":")[1] for name in redis.scan_iter("credits:*:????????-*")} >= SUBJECTS
    seal(redis)
    assert unaccounted(redis, store) == []
    assert ledger.count_grants() == 11


def test_an_unknown_key_is_noticed(redis: Redis, store: DeliveryStore) -> None:
    redis.set("credits:leak", 1)
    redis.hset(keys.RULES, "in_force", "for ever")
    assert unaccounted(redis, store) == ["credits:leak (lives for ever)", "credits:rules (lives for ever)"]
