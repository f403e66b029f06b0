"""A lost ledger is read back from Polar into a real Redis, whatever happens meanwhile."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast
from uuid import uuid4

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import (
    CUSTOMER,
    ORDER,
    fact_like,
    offer,
    offer_request,
    offers_of,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
    webhook,
)
from tests.support.fake_service import KEPT, NOBODY
from tests.support.killed import KilledError
from tests.support.ledgers import (
    come,
    compare,
    ledger_in,
    rebuild,
    rebuilder_of,
    refunding_operations_at,
    run,
    standing_of,
)
from tests.support.polar_orders import Operations
from tests.support.polar_standin import without_ties
from tests.support.real_stores import RETAIN, claim_of
from workers.core.delivery import Status
from workers.core.grants import Part, customer_subject, order_subject
from workers.core.manual import ManualRevoke
from workers.core.offers import offer_plan
from workers.core.planning import plan_for
from workers.core.usage_events import usage_event
from workers.errors import PolarDeniedError
from workers.store import keys
from workers.store.audit import Audit

SUBJECT = order_subject(ORDER)
PAID = order_webhook()
BONUS = rule("bonus", {"seconds": 50}, once_per="customer")
PERIOD = rule("period", {"seconds": 5}, triggers=["subscription.cycled"])
PERIODS_BONUS = rule("first", {"images": 5}, triggers=["subscription.cycled"], once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25}, triggers=["customer.created"])
PACK = rule("pack", {"api_usage": 100}, triggers=["purchase"], on_refund="revoke")
GIFT = rule("gift", {"api_usage": 7}, triggers=["purchase"])


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with refunding_operations_at(redis) as opened:
        yield opened


def taken_at_polar(operations: Operations, cents: int) -> float:
    """Return what this refund of the usual order took."""
    key = f"credits:refund:{ORDER}:{cents}:api_usage"
    (units,) = [one["metadata"]["units"] for one in operations.polar.events if one["external_id"] == key]
    return float(units)


def trail(operations: Operations) -> list[tuple[str, str]]:
    rows = cast(list[tuple[bytes, dict[bytes, bytes]]], operations.redis.xrange(keys.AUDIT))
    return [(row[b"subject"].decode(), row[b"meter"].decode()) for _, row in rows]


def test_times_are_those_at_which_polar_took_it(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    (stored,) = operations.polar.stored
    redis.flushall()
    rebuild(operations)
    claim = claim_of(standing_of(operations))
    assert abs(claim.claimed_at - stored.timestamp) < timedelta(milliseconds=1)
    assert claim.settled == {"api_usage": claim.claimed_at}
    assert claim.delivery_id == "rebuild"


def test_hundreds_are_restored_in_batches_and_listed_as_before_whenever_it_is_killed(
    operations: Operations, redis: Redis
) -> None:
    orders = [order_webhook(id=some_id(number), customer_id=CUSTOMER) for number in range(1, 451)]
    run(operations, [(f"msg-{number}", "order.paid", body) for number, body in enumerate(orders)])
    come(operations, refund_webhook(500, id=some_id(1)))
    without_ties(operations.polar)
    ledger, listed = ledger_in(redis), sorted(trail(operations))
    redis.flushall()

    def die(done: int, _whole: int) -> None:
        if done == 200:
            raise KilledError

    with pytest.raises(KilledError):
        rebuilder_of(operations).restore(compare(operations), on_progress=die)
    assert 200 <= len(ledger_in(redis)) < 300
    done = rebuild(operations)
    assert 200 <= done.grants <= 251
    assert ledger_in(redis) == ledger
    assert sorted(trail(operations)) == listed
    times = [one.granted_at for one in Audit(redis, operations.ledger).newest()]
    assert times == sorted(times, key=lambda one: one or datetime.min.replace(tzinfo=UTC), reverse=True)
    assert len(list(Audit(redis, operations.ledger).of_customer(CUSTOMER))) == 451
    assert redis.exists(keys.RESTORED) == 0


def test_what_was_granted_since_stays_where_it_is_in_the_trail(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    redis.flushall()
    come(operations, order_webhook(id=some_id(1)))
    rebuild(operations)
    assert trail(operations) == [(order_subject(some_id(1)), "api_usage"), (SUBJECT, "api_usage")]
    assert operations.ledger.count_grants() == 2


def test_later_refunds_take_what_they_would_have_taken(operations: Operations, redis: Redis) -> None:
    come(operations, PAID, refund_webhook(333))
    redis.flushall()
    rebuild(operations)
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(33)}}
    assert come(operations, refund_webhook(333), refund_webhook(600)) == [Status.SKIPPED, Status.GRANTED]
    assert taken_at_polar(operations, 600) == 27
    come(operations, refund_webhook(1000))
    assert operations.balance() == 0


def test_what_a_refund_may_take_is_as_todays_rules_say(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    redis.flushall()
    operations.rules = KEPT
    rebuild(operations)
    assert claim_of(standing_of(operations)).grants[0].parts == (Part(rule="pack", units=Decimal(100)),)


def test_what_a_refund_has_taken_from_may_be_taken_whatever_rules_say(
    operations: Operations, redis: Redis
) -> None:
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    operations.rules = NOBODY
    rebuild(operations)
    come(operations, refund_webhook(1000))
    assert operations.balance() == 0


@pytest.mark.parametrize(("gift", "revocable"), [(GIFT, False), (GIFT[:-1] + ", on_refund: revoke}", True)])
def test_shares_of_several_rules_are_one_and_may_be_taken_if_all_of_them_may(
    operations: Operations, redis: Redis, gift: str, revocable: bool
) -> None:
    operations.rules = rules_of(PACK, gift)
    come(operations, PAID)
    redis.flushall()
    rebuild(operations)
    (grant,) = claim_of(standing_of(operations)).grants
    assert grant.parts == (Part(rule="pack,gift", units=Decimal(107), revocable=revocable),)


def test_of_shares_of_several_rules_a_revoke_takes_what_refunds_have_left(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, GIFT)
    come(operations, PAID, refund_webhook(500))
    redis.flushall()
    rebuild(operations)
    assert run(operations, [ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()]) == [
        Status.GRANTED
    ]
    assert operations.balance() == 0


def test_an_order_that_was_claimed_anew_knows_again_what_refunds_have_taken(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, GIFT)
    come(operations, PAID, refund_webhook(500))
    redis.flushall()
    come(operations, PAID)
    assert rebuild(operations).changed == []
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(50)}}
    come(operations, refund_webhook(1000))
    assert operations.balance() == 7


def test_shares_that_were_claimed_anew_are_taken_from_by_what_is_left_of_each(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, GIFT[:-1] + ", on_refund: revoke}")
    come(operations, PAID, refund_webhook(500))
    redis.flushall()
    come(operations, PAID)
    rebuild(operations)
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(49), "gift": Decimal(4)}}
    come(operations, refund_webhook(600))
    assert taken_at_polar(operations, 600) == 11


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


def test_what_polar_has_and_a_delivery_has_claimed_is_settled(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    redis.flushall()
    operations.ledger.claim([("msg-1", plan_for(fact_like(), operations.rules))])
    found = compare(operations)
    assert ([one.key for one in found.claimed], found.missing, found.differing) == (
        [f"{SUBJECT}:api_usage"],
        {},
        [],
    )
    rebuild(operations)
    assert standing_of(operations).can_be_taken_back
    assert come(operations, PAID) == [Status.SKIPPED]


def test_a_refund_of_a_dismissed_order_that_polar_has_all_the_same_counts_after_a_rebuild(
    operations: Operations,
) -> None:
    """Polar took the credits, and no answer of Polar's ever said so."""
    operations.deliver_but_die_before_settling(PAID, "msg-1")
    customer = operations.polar.customers.pop(CUSTOMER)
    assert operations.deliver(PAID, "msg-2") is Status.FAILED
    operations.store.dismiss(["msg-2"], retain=RETAIN)
    operations.polar.customers[CUSTOMER] = customer
    assert operations.deliver(refund_webhook(300), "msg-3") is Status.SKIPPED
    rebuild(operations)
    assert operations.run_due() == [Status.GRANTED]
    assert operations.balance() == 70


def test_what_takes_back_what_was_never_granted_is_passed_over(operations: Operations, redis: Redis) -> None:
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    del operations.polar.stored[0]  # the credit
    found = compare(operations)
    assert (found.missing, [one.why for one in found.invalid]) == (
        {},
        ["neither Polar nor the ledger has the grant that it takes back"],
    )


def test_a_second_event_with_a_key_of_ours_is_passed_over(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    redis.flushall()
    first = operations.polar.stored[0]
    again = {**first.sent, "metadata": {**first.metadata, "units": -7}}
    later = first.timestamp + timedelta(milliseconds=1)
    operations.polar.stored.append(replace(first, id=uuid4(), timestamp=later, sent=again))
    found = compare(operations)
    assert [one.why for one in found.invalid] == ["another event has the same key"]
    assert [one.units for one in found.grants()] == [Decimal(100)]


def test_within_our_share_of_the_rate_limit_it_waits_its_turn(operations: Operations, redis: Redis) -> None:
    come(operations, *(order_webhook(id=some_id(number)) for number in range(1, 4)))
    redis.flushall()
    redis.set(keys.PAUSE, "Polar answered 429", px=5000)
    assert rebuild(operations).grants == 3
    assert operations.slept


def test_a_token_that_may_not_read_events_is_told_so(operations: Operations) -> None:
    operations.polar.scopes = frozenset()
    with pytest.raises(PolarDeniedError, match="the scope events:read"):
        compare(operations)


def test_where_polar_has_nothing_of_ours_nothing_is_written(operations: Operations, redis: Redis) -> None:
    assert rebuild(operations).grants == 0
    assert redis.exists(keys.AUDIT, keys.RESTORED, keys.CUSTOMERS) == 0


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
