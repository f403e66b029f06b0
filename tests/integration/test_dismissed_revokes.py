"""A dismissed revoke is at rest until a replay by name, which decides it anew where Polar lacks it."""

from decimal import Decimal

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of
from tests.support.dismissing import SUBJECT, Service
from tests.support.real_stores import RETAIN
from workers.core.delivery import Outcome, Status
from workers.core.grants import revoke_subject
from workers.core.manual import ManualRevoke
from workers.core.usage_events import usage_event


@pytest.fixture
def service(redis: Redis) -> Service:
    return Service(redis)


def revoked(service: Service) -> Outcome:
    return service.tell("msg-9", ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()[2])


TWO_METERS = rules_of(rule("pack", {"api_usage": "0.3", "images": "123456789.000001"}, on_refund="revoke"))


@pytest.mark.parametrize("meanwhile", [None, 300, 1000])
def test_a_dismissed_revoke_is_decided_anew_where_polar_lacks_it(
    redis: Redis, service: Service, meanwhile: int | None
) -> None:
    service.rules, service.polar.known = TWO_METERS, lambda _customer: True
    service.tell("msg-1", order_webhook())
    service.tell("msg-2", refund_webhook(100))
    service.polar.known = lambda _customer: False
    assert revoked(service).status is Status.FAILED
    service.store.dismiss(["msg-9"], retain=RETAIN)
    service.polar.known = lambda _customer: True
    (has,) = service.ledger.find(revoke_subject(ORDER, "api_usage")).claims[0].grants
    service.polar.ingest([usage_event(has)])
    service.ledger.settle([has], [])
    if meanwhile:
        service.tell("msg-3", refund_webhook(meanwhile))
    service.replay("msg-9", by_name=False)
    assert service.polar.balance(CUSTOMER, "images") > 0
    assert service.polar.balance(CUSTOMER) == 0
    assert service.replay("msg-9", by_name=True).status is Status.GRANTED
    assert service.polar.balance(CUSTOMER, "images") == 0
    assert redis.hget(SUBJECT, "taken:images") == b"pack=123456789.000001"
    assert service.ledger.find(SUBJECT).taken["api_usage"] == {"pack": Decimal("0.3")}


@pytest.mark.parametrize(
    ("taken", "revoke", "left"),
    [
        ("pack=0.3", "pack=-0.1", "pack=0.2"),
        ("a=1 pack=10", "pack=-10", "a=1"),
        ("pack=12", "pack=-12.000", None),
        ("pack=900000000000000.000001", "pack=-899999999999999.999999", "pack=0.000002"),
        ("a=1.5 b=2", "b=-1.000000001 a=-0.5", "a=1 b=0.999999999"),
    ],
)
def test_what_a_dismissed_revoke_took_counts_no_more_exactly(
    redis: Redis, service: Service, taken: str, revoke: str, left: str | None
) -> None:
    subject = failed_revoke(service, redis, taken, revoke)
    service.store.reopen(["msg-9"], by_name=True)
    assert redis.hget(SUBJECT, "taken:api_usage") == (left.encode() if left else None)
    assert (redis.exists(subject), redis.hexists(SUBJECT, "also")) == (0, False)


@pytest.mark.parametrize(
    ("taken", "revoke"),
    [
        ("pack=9", "pack=-10"),
        ("pack=0.1", "pack=-0.2"),
        ("a,pack=10", "pack=-10"),
        ("pack=-1", "pack=-1"),
        ("pack=10", "pack=-0.0000000001"),
    ],
)
def test_a_dismissed_revoke_is_sent_as_it_was_where_the_ledger_says_something_else_by_now(
    redis: Redis, service: Service, taken: str, revoke: str
) -> None:
    subject = failed_revoke(service, redis, taken, revoke)
    service.store.reopen(["msg-9"], by_name=True)
    assert redis.hget(SUBJECT, "taken:api_usage") == taken.encode()
    assert (redis.hget(subject, "grant:api_usage"), redis.hexists(subject, "dismissed")) == (
        revoke.encode(),
        False,
    )


def failed_revoke(service: Service, redis: Redis, taken: str, revoke: str) -> str:
    """Let Polar refuse a revoke, dismiss it, and write other amounts; return its subject."""
    service.polar.known = lambda _customer: True
    service.tell("msg-1", order_webhook())
    service.polar.known = lambda _customer: False
    assert revoked(service).status is Status.FAILED
    service.store.dismiss(["msg-9"], retain=RETAIN)
    subject = revoke_subject(ORDER, "api_usage")
    redis.hset(subject, "grant:api_usage", revoke)
    redis.hset(SUBJECT, "taken:api_usage", taken)
    return subject
