"""What happens to the ledger while it is rebuilt, and before: nothing of it is written over."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from redis import Redis

from tests.support.builders import (
    CUSTOMER,
    ORDER,
    fact_like,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.fake_service import BOTH_METERS, KEPT, TEN, TWENTY
from tests.support.ledgers import OldLedger, come, look, rebuild, rebuilding_at, restorer_of, run, standing_of
from tests.support.polar_orders import Mending
from tests.support.real_stores import claim_of
from workers.core.claims import Standing
from workers.core.delivery import Status
from workers.core.grants import customer_subject, order_subject
from workers.core.manual import ManualRevoke
from workers.core.planning import plan_for
from workers.operations.rebuild.comparison import Rebuilding
from workers.operations.rebuild.run import Restored
from workers.store.audit import Audit

SUBJECT = order_subject(ORDER)
PAID = order_webhook()
BONUS = rule("bonus", {"seconds": 50}, once_per="customer")
PACK = rule("pack", {"api_usage": 100}, triggers=["purchase"], on_refund="revoke")
GIFT = rule("gift", {"api_usage": 7}, triggers=["purchase"])
REVOKED = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()


@pytest.fixture
def mending(redis: Redis) -> Iterator[Mending]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with rebuilding_at(redis) as opened:
        yield opened


def restore(mending: Mending, found: Rebuilding, *then: Standing) -> Restored:
    """Write down what was found; ``then``: what stood when it was worked out, a moment ago."""
    restorer = restorer_of(mending)
    if then:
        restorer = replace(restorer, ledger=OldLedger(mending.redis, list(then)))
    return restorer.restore(found, tell=lambda _done, _whole: None)


def move(mending: Mending, place: int, moment: datetime) -> None:
    """Let Polar have taken one of its events at another time."""
    mending.polar.stored[place] = replace(mending.polar.stored[place], timestamp=moment)


def test_what_is_claimed_meanwhile_stays_as_it_is_claimed(mending: Mending, redis: Redis) -> None:
    come(mending, PAID, order_webhook(id=some_id(1)))
    redis.flushall()
    found = look(mending)
    mending.rules = TWENTY
    come(mending, PAID)
    done = restore(mending, found)
    assert (done.grants, done.changed) == (1, [SUBJECT])
    assert claim_of(standing_of(mending)).grants[0].units == 20
    (difference,) = look(mending).differing
    assert difference.ledger is not None
    assert [difference.grant.units, difference.ledger.units] == [100, 20]
    assert mending.balance() == 200


def test_a_bonus_that_another_order_claims_meanwhile_freezes_no_order_with_nothing(
    mending: Mending, redis: Redis
) -> None:
    mending.rules = rules_of(BONUS)
    come(mending, PAID)
    redis.flushall()
    found = look(mending)
    come(mending, order_webhook(id=some_id(1)))
    done = restore(mending, found)
    assert (done.grants, done.changed) == (0, [SUBJECT])
    assert standing_of(mending).own is None
    assert look(mending).missing == {}
    assert come(mending, PAID) == [Status.SKIPPED]
    assert len(mending.polar.events) == 1


def test_an_order_that_is_claimed_meanwhile_by_other_rules_knows_what_refunds_have_taken(
    mending: Mending, redis: Redis
) -> None:
    mending.rules = rules_of(PACK, GIFT)
    come(mending, PAID, refund_webhook(300))
    redis.flushall()
    found = look(mending)
    mending.rules = rules_of(GIFT, PACK)
    come(mending, PAID)
    done = restore(mending, found)
    assert (done.grants, done.changed) == (1, [SUBJECT])  # the refund alone
    assert standing_of(mending).taken == {"api_usage": {"pack": Decimal(30)}}
    assert rebuild(mending).changed == []
    come(mending, refund_webhook(1000))
    assert mending.balance() == 7


def test_what_is_taken_back_meanwhile_is_not_written_over(mending: Mending, redis: Redis) -> None:
    come(mending, PAID, refund_webhook(300))
    redis.flushall()
    come(mending, PAID)
    found, then = look(mending), standing_of(mending)
    come(mending, refund_webhook(300))  # again: Polar has it already, our ledger has it now
    done = restore(mending, found, then)
    assert (done.grants, done.changed) == (0, [SUBJECT])
    assert standing_of(mending).taken == {"api_usage": {"pack": Decimal(30)}}
    assert look(mending).missing == {}


def test_an_order_that_is_claimed_in_the_last_moment_is_left_to_that_claim(
    mending: Mending, redis: Redis
) -> None:
    come(mending, PAID, refund_webhook(300))
    redis.flushall()
    found = look(mending)
    mending.rules = rules_of(GIFT)
    come(mending, PAID)
    done = restore(mending, found, Standing(subject=SUBJECT))
    assert (done.grants, done.changed, standing_of(mending).taken) == (0, [SUBJECT], {})


def test_another_refund_that_takes_in_the_last_moment_is_not_forgotten(
    mending: Mending, redis: Redis
) -> None:
    come(mending, PAID, refund_webhook(300))
    redis.flushall()
    come(mending, PAID)
    found, then = look(mending), standing_of(mending)
    come(mending, refund_webhook(600))
    assert restore(mending, found, then).changed == [SUBJECT]
    assert standing_of(mending).taken == {"api_usage": {"pack": Decimal(60)}}


def test_a_claim_that_another_has_not_settled_is_not_settled_for_it(mending: Mending, redis: Redis) -> None:
    mending.rules = rules_of(PACK, BONUS)
    come(mending, PAID)
    redis.flushall()
    found = look(mending)
    mending.ledger.claim([("msg-1", plan_for(fact_like(id=some_id(1)), rules_of(BONUS)))])
    assert restore(mending, found).changed == [SUBJECT]
    assert claim_of(standing_of(mending, customer_subject(CUSTOMER, "bonus"))).settled == {}
    assert set(claim_of(standing_of(mending)).settled) == {"api_usage"}


def test_a_higher_refund_that_came_before_stays_noted_and_takes_when_it_is_run_again(
    mending: Mending, redis: Redis
) -> None:
    come(mending, PAID, refund_webhook(300))
    redis.flushall()
    come(mending, refund_webhook(700))
    assert rebuild(mending).refund_pending == [SUBJECT]
    refund = standing_of(mending).refund
    assert refund is not None
    assert refund.amount == 700
    assert come(mending, refund_webhook(700)) == [Status.GRANTED]
    assert mending.balance() == 30


def test_an_event_that_polar_lists_late_joins_what_is_restored(mending: Mending, redis: Redis) -> None:
    mending.rules = BOTH_METERS
    come(mending, PAID, order_webhook(id=some_id(1)))
    redis.flushall()
    place = next(n for n, one in enumerate(mending.polar.events) if one["name"] == "images")
    late = mending.polar.stored.pop(place)
    rebuild(mending)
    claimed_at = claim_of(standing_of(mending)).claimed_at
    mending.polar.stored.append(replace(late, timestamp=datetime.now(UTC)))
    assert rebuild(mending).grants == 1
    claims = [claim_of(standing_of(mending, one)) for one in (SUBJECT, order_subject(some_id(1)))]
    assert [set(claim.settled) for claim in claims] == [{"api_usage", "images"}] * 2
    assert claims[0].claimed_at == claimed_at
    assert len(list(Audit(redis, mending.ledger).of_customer(CUSTOMER))) == 4


def test_a_meter_that_is_not_in_a_claim_made_anew_is_listed(mending: Mending, redis: Redis) -> None:
    mending.rules = BOTH_METERS
    come(mending, PAID)
    redis.flushall()
    mending.rules = TEN
    come(mending, PAID)
    (difference,) = look(mending).differing
    assert (difference.grant.meter, difference.ledger) == ("images", None)


def test_a_credit_that_polar_has_for_somebody_else_is_listed(mending: Mending, redis: Redis) -> None:
    come(mending, PAID)
    mending.polar.add_customer(some_id(50))
    mending.polar.stored[0].sent["customer_id"] = some_id(50)
    assert len(look(mending).differing) == 1


def test_what_a_person_took_back_may_not_be_taken_by_a_refund(mending: Mending, redis: Redis) -> None:
    mending.rules = KEPT
    come(mending, PAID)
    run(mending, [REVOKED])
    redis.flushall()
    rebuild(mending)
    assert [part.revocable for part in claim_of(standing_of(mending)).grants[0].parts] == [False]


def test_what_refunds_and_a_person_took_is_found_again_in_a_claim_made_anew(
    mending: Mending, redis: Redis
) -> None:
    mending.rules = rules_of(PACK, GIFT)
    come(mending, PAID, refund_webhook(500))
    run(mending, [REVOKED])
    redis.flushall()
    come(mending, PAID)
    rebuild(mending)
    assert standing_of(mending).taken == {"api_usage": {"pack": Decimal(100), "gift": Decimal(7)}}


def test_old_grants_are_not_listed_as_new_ones(mending: Mending, redis: Redis) -> None:
    come(mending, *(order_webhook(id=some_id(number)) for number in range(1, 4)))
    now = datetime.now(UTC)
    for place, days in ((0, 3), (1, 3), (2, 2)):
        move(mending, place, now - timedelta(days=days))
    redis.flushall()
    rebuild(mending)
    audit = Audit(redis, mending.ledger)
    assert list(audit.newest(since=now - timedelta(days=1))) == []
    assert len(list(audit.newest(since=now - timedelta(days=2.5)))) == 1
    assert len(list(audit.newest())) == 3


def test_the_trail_goes_on_behind_what_was_granted_since(mending: Mending, redis: Redis) -> None:
    come(mending, *(order_webhook(id=some_id(number)) for number in (1, 2)))
    move(mending, 0, datetime.now(UTC) - timedelta(days=1))
    redis.flushall()
    come(mending, PAID)
    move(mending, 1, datetime.now(UTC))
    assert rebuild(mending).grants == 2
    newest = [one.grant.order_id for one in Audit(redis, mending.ledger).newest()]
    assert newest == [some_id(2), some_id(1), ORDER]
