"""What a dismissal does to claims in a real Redis: they are at rest until a replay by name."""

from collections.abc import Callable, Mapping
from decimal import Decimal

import pytest
from redis import Redis
from structlog.testing import capture_logs

from config.rules import Rules
from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.fake_polar import FakePolar
from tests.support.fake_service import HUNDRED, UNREACHABLE
from tests.support.leased import plan_and_claim
from tests.support.real_stores import RETAIN
from workers.core.delivery import Lease, Outcome, Status
from workers.core.envelope import peek_type
from workers.core.grants import customer_subject, order_subject, revoke_subject
from workers.core.manual import ManualRevoke
from workers.core.usage_events import usage_event
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.audit import Audit
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

PACK = rule("pack", {"api_usage": 10})
BONUS = rule("first", {"api_usage": 50}, once_per="customer")
SUBJECT, BONUS_SUBJECT = order_subject(ORDER), customer_subject(CUSTOMER, "first")


class Service:
    """A worker on a real Redis, and a Polar that refuses every customer until it is told otherwise."""

    def __init__(self, redis: Redis) -> None:
        self.store, self.ledger = DeliveryStore(redis), Ledger(redis, retain=RETAIN)
        self.polar = FakePolar(known=lambda _customer: False)
        self.rules: Rules = HUNDRED
        self.granter = Granter(
            deliveries=self.store,
            ledger=self.ledger,
            throttle=Throttle(redis),
            polar=self.polar,
            rules=lambda: self.rules,
        )

    def tell(self, delivery_id: str, body: bytes) -> Outcome:
        """Store a webhook, or a request by hand, and work on it."""
        leased = self.store.store_and_lease([(delivery_id, peek_type(body) or "", body)])
        return self.granter.run(Lease(deliveries=leased))[0]

    def replay(self, delivery_id: str, *, by_name: bool) -> Outcome:
        """Run a delivery again."""
        return self.granter.run(Lease(deliveries=self.store.reopen([delivery_id], by_name=by_name)))[0]

    def fail_and_dismiss(self, delivery_id: str, body: bytes) -> None:
        """Let Polar refuse a webhook, dismiss it, and let Polar know everybody from then on."""
        assert self.tell(delivery_id, body).status is Status.FAILED
        self.store.dismiss([delivery_id], retain=RETAIN)
        self.polar.known = lambda _customer: True


@pytest.fixture
def service(redis: Redis) -> Service:
    return Service(redis)


OTHERS: Mapping[str, Callable[[Service], Outcome]] = {
    "a second webhook id": lambda service: service.tell("msg-2", order_webhook()),
    "a refund": lambda service: service.tell("msg-2", refund_webhook(300)),
    "a revoke": lambda service: service.tell(
        "msg-2", ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()[2]
    ),
    "a replay of all": lambda service: service.replay("msg-1", by_name=False),
    "a backfill": lambda service: service.tell(f"backfill-{ORDER}", order_webhook()),
}


@pytest.mark.parametrize("what", OTHERS)
def test_nothing_but_a_replay_by_name_credits_a_dismissed_order(service: Service, what: str) -> None:
    service.fail_and_dismiss("msg-1", order_webhook())
    outcome = OTHERS[what](service)
    assert (outcome.status, outcome.reason) == (
        Status.SKIPPED,
        "dismissed with delivery msg-1: only `credits replay msg-1` credits it",
    )
    assert service.polar.events == {}
    assert service.replay("msg-1", by_name=True).status is Status.GRANTED
    assert service.polar.balance(CUSTOMER) == 100


def test_a_dismissal_without_a_claim_is_kept_for_ever(redis: Redis, service: Service) -> None:
    service.rules = rules_of(rule("odd", {"api_usage": "order.net_amount - 5000"}))
    service.fail_and_dismiss("msg-1", order_webhook())
    assert (redis.hgetall(SUBJECT), redis.ttl(SUBJECT)) == ({b"dismissed": b"msg-1"}, -1)
    service.rules = HUNDRED
    assert service.tell("msg-2", order_webhook()).status is Status.SKIPPED
    assert service.replay("msg-1", by_name=True).status is Status.GRANTED
    assert redis.hexists(SUBJECT, "dismissed") is False


@pytest.mark.parametrize("rules", [rules_of(BONUS), rules_of(PACK, BONUS)], ids=["alone", "beside others"])
def test_a_bonus_that_polar_does_not_have_goes_to_the_next_order(
    redis: Redis, service: Service, rules: Rules
) -> None:
    service.rules = rules
    service.fail_and_dismiss("msg-1", order_webhook())
    assert redis.exists(BONUS_SUBJECT) == 0
    assert redis.hexists(SUBJECT, "also") is False
    assert service.tell("msg-2", order_webhook(id=some_id(2))).status is Status.GRANTED
    assert redis.hget(BONUS_SUBJECT, "delivery") == b"msg-2"
    service.replay("msg-1", by_name=True)
    assert service.polar.balance(CUSTOMER) == sum(10 for key in service.polar.events if ":order:" in key) + 50


def test_a_released_order_stays_once_in_its_customers_chain(redis: Redis, service: Service) -> None:
    service.rules = rules_of(BONUS)
    service.fail_and_dismiss("msg-1", order_webhook())
    service.rules = rules_of(PACK)
    service.tell("msg-2", order_webhook(id=some_id(2)))
    service.rules = rules_of(BONUS)
    assert service.replay("msg-1", by_name=True).reason == "50 api_usage"
    entries = Audit(redis, service.ledger).of_customer(CUSTOMER)
    assert sorted(one.grant.key for one in entries) == sorted(service.polar.events)


def test_a_bonus_of_which_polar_has_a_part_is_kept(redis: Redis, service: Service) -> None:
    service.rules = rules_of(PACK, BONUS)
    assert service.tell("msg-1", order_webhook()).status is Status.FAILED
    redis.hset(BONUS_SUBJECT, "settled:images", 1)
    service.store.dismiss(["msg-1"], retain=RETAIN)
    assert redis.hget(BONUS_SUBJECT, "delivery") == b"msg-1"
    assert redis.hget(SUBJECT, "also") == b"customer:first"


def test_a_dismissed_delivery_whose_claim_is_released_is_still_listed(redis: Redis, service: Service) -> None:
    service.rules = rules_of(BONUS)
    service.fail_and_dismiss("msg-1", order_webhook())
    assert [one.id for one in service.store.about_order(ORDER)] == ["msg-1"]


def test_a_dismissed_take_back_is_sent_by_nothing_but_a_replay_by_name(
    redis: Redis, service: Service
) -> None:
    service.polar.known = lambda _customer: True
    service.tell("msg-1", order_webhook())
    service.polar.known = lambda _customer: False
    service.fail_and_dismiss("msg-2", refund_webhook(300))
    assert redis.hexists(SUBJECT, "dismissed") is False
    assert service.tell("msg-3", refund_webhook(500)).reason == "took back 20 api_usage"
    assert service.replay("msg-2", by_name=False).status is Status.SKIPPED
    assert service.replay("msg-2", by_name=True).reason == "took back 30 api_usage"
    assert service.polar.balance(CUSTOMER) == 50


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


def test_a_delivery_that_nobody_has_read_yet_undoes_a_dismissal_when_it_is_named(service: Service) -> None:
    """A second webhook of the order waits; its hash does not say yet what it is about."""
    service.fail_and_dismiss("msg-1", order_webhook())
    service.store.store_and_lease([("msg-2", "order.paid", order_webhook())])
    outcome = service.replay("msg-2", by_name=True)
    assert outcome.status is Status.GRANTED
    assert service.polar.balance(CUSTOMER) == 100


def test_a_delivery_that_was_named_once_undoes_no_later_dismissal(service: Service) -> None:
    service.store.store_and_lease([("msg-2", "order.paid", order_webhook())])
    assert service.replay("msg-2", by_name=True).status is Status.FAILED
    service.store.dismiss(["msg-2"], retain=RETAIN)
    service.polar.known = lambda _customer: True
    assert service.replay("msg-2", by_name=False).status is Status.SKIPPED
    assert service.polar.balance(CUSTOMER) == 0


def test_a_delivery_that_was_named_before_a_dismissal_does_not_undo_it(
    redis: Redis, service: Service
) -> None:
    """Its replay was interrupted: it waits, and a second webhook of the order fails meanwhile."""
    service.store.store_and_lease([("msg-2", "order.paid", order_webhook())])
    service.polar.script = [UNREACHABLE]
    assert service.replay("msg-2", by_name=True).status is Status.WAITING
    redis.delete(keys.PAUSE)
    service.fail_and_dismiss("msg-1", order_webhook())
    redis.zadd(keys.DUE, {"msg-2": 0})
    (outcome,) = service.granter.run(service.store.lease(1))
    assert (outcome.delivery_id, outcome.status) == ("msg-2", Status.SKIPPED)
    assert service.polar.events == {}


@pytest.mark.parametrize(
    ("rules", "order", "status"),
    [
        (rules_of(BONUS), ORDER, Status.SKIPPED),
        (rules_of(PACK, BONUS), ORDER, Status.SKIPPED),
        (rules_of(BONUS), some_id(2), Status.GRANTED),
    ],
    ids=["same order, bonus alone", "same order", "another order"],
)
def test_a_bonus_that_a_dismissal_gives_back_is_no_lost_claim(
    redis: Redis, service: Service, rules: Rules, order: str, status: Status
) -> None:
    """A worker has looked at another webhook of this customer before the dismissal, and settles it after."""
    service.rules = rules
    assert service.tell("msg-1", order_webhook()).status is Status.FAILED
    leased = service.store.store_and_lease([("msg-2", "order.paid", order_webhook(id=order))])
    ingested = service.granter.ingest(plan_and_claim(service.granter, Lease(deliveries=leased)), {})
    service.store.dismiss(["msg-1"], retain=RETAIN)
    with capture_logs() as lines:
        assert service.granter.settle(ingested) == []
    assert "claims lost" not in [line["event"] for line in lines]
    (waiting,) = service.store.get(["msg-2"])
    assert waiting.reason == "a bonus that it relied on is claimed no more: it is claimed again"
    service.polar.known = lambda _customer: True
    (outcome,) = service.granter.run(service.store.lease(1))
    assert outcome.status is status
    assert service.polar.balance(CUSTOMER) == (50 if status is Status.GRANTED else 0)


def test_a_take_back_is_dismissed_with_the_webhook_of_its_order_that_told_of_it(service: Service) -> None:
    service.polar.known = lambda _customer: True
    service.tell("msg-1", order_webhook())
    service.polar.known = lambda _customer: False
    service.fail_and_dismiss("msg-2", order_webhook(refunded_amount=300))
    service.tell("msg-3", refund_webhook(300))
    assert service.polar.balance(CUSTOMER) == 100
    service.replay("msg-2", by_name=True)
    assert service.polar.balance(CUSTOMER) == 70
