"""Bonuses, welcomes, periods and offers that were read back from Polar are known, and given once."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.builders import (
    CUSTOMER,
    offer,
    offer_request,
    offers_of,
    order_webhook,
    rule,
    rules_of,
    some_id,
    webhook,
)
from tests.support.ledgers import PACK, PAID, SUBJECT, come, rebuild, refunding_operations_at, standing_of
from tests.support.polar_orders import Operations
from tests.support.real_stores import claim_of
from workers.core.delivery import Status
from workers.core.grants import customer_subject
from workers.core.offers import offer_plan
from workers.core.usage_events import usage_event
from workers.store.audit import Audit

BONUS = rule("bonus", {"seconds": 50}, once_per="customer")
PERIOD = rule("period", {"seconds": 5}, triggers=["subscription.cycled"])
PERIODS_BONUS = rule("first", {"images": 5}, triggers=["subscription.cycled"], once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25}, triggers=["customer.created"])


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with refunding_operations_at(redis) as opened:
        yield opened


def test_a_bonus_hangs_on_its_order_again_and_is_given_once(operations: Operations, redis: Redis) -> None:
    operations.rules = rules_of(PACK, BONUS)
    come(operations, PAID)
    redis.flushall()
    rebuild(operations)
    subjects = [claim.subject for claim in standing_of(operations).claims]
    assert subjects == [SUBJECT, customer_subject(CUSTOMER, "bonus")]
    come(operations, PAID, order_webhook(id=some_id(1)))
    assert [one["name"] for one in operations.polar.events] == ["seconds", "api_usage", "api_usage"]


def test_an_order_that_gave_but_a_bonus_stays_as_it_was_whatever_rules_say(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(BONUS)
    come(operations, PAID)
    redis.flushall()
    operations.rules = rules_of(PACK, BONUS)
    rebuild(operations)
    assert come(operations, PAID) == [Status.SKIPPED]
    assert len(operations.polar.events) == 1


def test_a_welcome_is_known_and_rules_that_came_later_welcome_nobody_again(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(WELCOME)
    created = webhook("customer_created", id=CUSTOMER)
    come(operations, created)
    redis.flushall()
    operations.rules = rules_of(WELCOME, WELCOME.replace("welcome", "hello"))
    rebuild(operations)
    assert come(operations, created) == [Status.SKIPPED]
    assert operations.balance() == 25


def test_a_periods_bonus_stands_alone_and_is_listed_all_the_same(
    operations: Operations, redis: Redis
) -> None:
    """Polar was not told which period it was."""
    operations.rules = rules_of(PERIOD, PERIODS_BONUS)
    cycled = webhook("subscription_cycled", customer_id=CUSTOMER)
    come(operations, cycled)
    redis.flushall()
    rebuild(operations)
    listed = [one.grant.subject for one in Audit(redis, operations.ledger).of_customer(CUSTOMER)]
    assert sorted(subject.split(":")[1] for subject in listed) == ["customer", "cycle"]
    assert standing_of(operations, customer_subject(CUSTOMER)).own is None  # they may still be welcomed
    assert come(operations, cycled) == [Status.SKIPPED]
    assert len(operations.polar.events) == 2


def test_offers_are_restored_with_the_places_that_they_take(operations: Operations, redis: Redis) -> None:
    offers = offers_of(
        offer("referral", {"api_usage": 200}, most_per_customer=1),
        offer("gift", {"api_usage": 5}, once_per="customer"),
    )
    requests = [offer_request("referral", "k-1"), offer_request("gift", "k-2")]
    plans = [(one.delivery_id, offer_plan(one, CUSTOMER, offers)) for one in requests]
    operations.ledger.claim(plans)
    given = [grant for _, plan in plans for grant in plan.grants]
    operations.client.ingest([usage_event(grant) for grant in given])
    redis.flushall()
    assert rebuild(operations).grants == 2
    for grant in given:
        assert claim_of(standing_of(operations, grant.subject)).grants == (grant,)
    again = offer_plan(offer_request("referral", "k-3"), CUSTOMER, offers)
    (capped,) = operations.ledger.claim([("offer-3", again)])
    assert capped.is_capped
    (once,) = operations.ledger.claim(
        [("offer-4", offer_plan(offer_request("gift", "k-4"), CUSTOMER, offers))]
    )
    assert [claim.delivery_id for claim in once.elsewhere] == ["rebuild"]
