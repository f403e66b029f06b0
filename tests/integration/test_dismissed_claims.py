"""What a dismissal does to claims in a real Redis: they are at rest until a replay by name."""

from collections.abc import Callable, Mapping

import pytest
from redis import Redis
from structlog.testing import capture_logs

from config.rules import Rules
from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.dismissing import BONUS, BONUS_SUBJECT, PACK, SUBJECT, Service
from tests.support.fake_service import HUNDRED, UNREACHABLE
from tests.support.leased import plan_and_claim
from tests.support.real_stores import RETAIN
from workers.core.delivery import Lease, Outcome, Status
from workers.core.manual import ManualRevoke
from workers.store import keys
from workers.store.audit import Audit


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
