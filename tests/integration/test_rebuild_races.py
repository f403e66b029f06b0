"""What happens to the ledger while it is rebuilt, and before: nothing of it is written over."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace
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
from tests.support.ledgers import (
    GIFT,
    PACK,
    PAID,
    SUBJECT,
    OldLedger,
    come,
    compare,
    rebuild,
    rebuilder_of,
    refunding_operations_at,
    run,
    standing_of,
)
from tests.support.polar_orders import Operations
from tests.support.real_stores import claim_of
from workers.core.claims import Standing
from workers.core.delivery import Status
from workers.core.grants import customer_subject, order_subject
from workers.core.manual import ManualRevoke
from workers.core.planning import plan_for
from workers.operations.rebuild.comparison import LedgerComparison
from workers.operations.rebuild.run import RebuildResult
from workers.store.audit import Audit

BONUS = rule("bonus", {"seconds": 50}, once_per="customer")
REVOKED = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with refunding_operations_at(redis) as opened:
        yield opened


def restore(operations: Operations, found: LedgerComparison, *then: Standing) -> RebuildResult:
    """Write down what was found; ``then``: what stood when it was worked out, a moment ago."""
    rebuilder = rebuilder_of(operations)
    if then:
        rebuilder = replace(rebuilder, ledger=OldLedger(operations.redis, list(then)))
    return rebuilder.restore(found, on_progress=lambda _done, _whole: None)


def move(operations: Operations, place: int, moment: datetime) -> None:
    """Let Polar have taken one of its events at another time."""
    operations.polar.stored[place] = replace(operations.polar.stored[place], timestamp=moment)


def test_what_is_claimed_meanwhile_stays_as_it_is_claimed(operations: Operations, redis: Redis) -> None:
    come(operations, PAID, order_webhook(id=some_id(1)))
    redis.flushall()
    found = compare(operations)
    operations.rules = TWENTY
    come(operations, PAID)
    done = restore(operations, found)
    assert (done.grants, done.changed) == (1, [SUBJECT])
    assert claim_of(standing_of(operations)).grants[0].units == 20
    (difference,) = compare(operations).differing
    assert difference.ledger is not None
    assert [difference.grant.units, difference.ledger.units] == [100, 20]
    assert operations.balance() == 200


def test_a_bonus_that_another_order_claims_meanwhile_freezes_no_order_with_nothing(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(BONUS)
    come(operations, PAID)
    redis.flushall()
    found = compare(operations)
    come(operations, order_webhook(id=some_id(1)))
    done = restore(operations, found)
    assert (done.grants, done.changed) == (0, [SUBJECT])
    assert standing_of(operations).own is None
    assert compare(operations).missing == {}
    assert come(operations, PAID) == [Status.SKIPPED]
    assert len(operations.polar.events) == 1


def test_an_order_that_is_claimed_meanwhile_by_other_rules_knows_what_refunds_have_taken(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, GIFT)
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    found = compare(operations)
    operations.rules = rules_of(GIFT, PACK)
    come(operations, PAID)
    done = restore(operations, found)
    assert (done.grants, done.changed) == (1, [SUBJECT])  # the refund alone
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(30)}}
    assert rebuild(operations).changed == []
    come(operations, refund_webhook(1000))
    assert operations.balance() == 7


def test_what_is_taken_back_meanwhile_is_not_written_over(operations: Operations, redis: Redis) -> None:
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    come(operations, PAID)
    found, then = compare(operations), standing_of(operations)
    come(operations, refund_webhook(300))  # again: Polar has it already, our ledger has it now
    done = restore(operations, found, then)
    assert (done.grants, done.changed) == (0, [SUBJECT])
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(30)}}
    assert compare(operations).missing == {}


def test_an_order_that_is_claimed_in_the_last_moment_is_left_to_that_claim(
    operations: Operations, redis: Redis
) -> None:
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    found = compare(operations)
    operations.rules = rules_of(GIFT)
    come(operations, PAID)
    done = restore(operations, found, Standing(subject=SUBJECT))
    assert (done.grants, done.changed, standing_of(operations).taken) == (0, [SUBJECT], {})


def test_another_refund_that_takes_in_the_last_moment_is_not_forgotten(
    operations: Operations, redis: Redis
) -> None:
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    come(operations, PAID)
    found, then = compare(operations), standing_of(operations)
    come(operations, refund_webhook(600))
    assert restore(operations, found, then).changed == [SUBJECT]
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(60)}}


def test_a_claim_that_another_has_not_settled_is_not_settled_for_it(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, BONUS)
    come(operations, PAID)
    redis.flushall()
    found = compare(operations)
    operations.ledger.claim([("msg-1", plan_for(fact_like(id=some_id(1)), rules_of(BONUS)))])
    assert restore(operations, found).changed == [SUBJECT]
    assert claim_of(standing_of(operations, customer_subject(CUSTOMER, "bonus"))).settled == {}
    assert set(claim_of(standing_of(operations)).settled) == {"api_usage"}


def test_a_higher_refund_that_came_before_stays_noted_and_takes_after_the_rebuild(
    operations: Operations, redis: Redis
) -> None:
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    come(operations, refund_webhook(700))
    assert rebuild(operations).refund_pending == [SUBJECT]
    refund = standing_of(operations).refund
    assert refund is not None
    assert refund.amount == 700
    operations.granter.run(operations.store.lease(10))
    assert operations.balance() == 30


def test_an_event_that_polar_lists_late_joins_what_is_restored(operations: Operations, redis: Redis) -> None:
    operations.rules = BOTH_METERS
    come(operations, PAID, order_webhook(id=some_id(1)))
    redis.flushall()
    place = next(n for n, one in enumerate(operations.polar.events) if one["name"] == "images")
    late = operations.polar.stored.pop(place)
    rebuild(operations)
    claimed_at = claim_of(standing_of(operations)).claimed_at
    operations.polar.stored.append(replace(late, timestamp=datetime.now(UTC)))
    assert rebuild(operations).grants == 1
    claims = [claim_of(standing_of(operations, one)) for one in (SUBJECT, order_subject(some_id(1)))]
    assert [set(claim.settled) for claim in claims] == [{"api_usage", "images"}] * 2
    assert claims[0].claimed_at == claimed_at
    assert len(list(Audit(redis, operations.ledger).of_customer(CUSTOMER))) == 4


def test_a_meter_that_is_not_in_a_claim_made_anew_is_listed(operations: Operations, redis: Redis) -> None:
    operations.rules = BOTH_METERS
    come(operations, PAID)
    redis.flushall()
    operations.rules = TEN
    come(operations, PAID)
    (difference,) = compare(operations).differing
    assert (difference.grant.meter, difference.ledger) == ("images", None)


def test_a_credit_that_polar_has_for_somebody_else_is_listed(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    operations.polar.add_customer(some_id(50))
    operations.polar.stored[0].sent["customer_id"] = some_id(50)
    assert len(compare(operations).differing) == 1


def test_what_a_person_took_back_may_not_be_taken_by_a_refund(operations: Operations, redis: Redis) -> None:
    operations.rules = KEPT
    come(operations, PAID)
    run(operations, [REVOKED])
    redis.flushall()
    rebuild(operations)
    assert [part.revocable for part in claim_of(standing_of(operations)).grants[0].parts] == [False]


def test_what_refunds_and_a_person_took_is_found_again_in_a_claim_made_anew(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, GIFT)
    come(operations, PAID, refund_webhook(500))
    run(operations, [REVOKED])
    redis.flushall()
    come(operations, PAID)
    rebuild(operations)
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(100), "gift": Decimal(7)}}


def test_old_grants_are_not_listed_as_new_ones(operations: Operations, redis: Redis) -> None:
    come(operations, *(order_webhook(id=some_id(number)) for number in range(1, 4)))
    now = datetime.now(UTC)
    for place, days in ((0, 3), (1, 3), (2, 2)):
        move(operations, place, now - timedelta(days=days))
    redis.flushall()
    rebuild(operations)
    audit = Audit(redis, operations.ledger)
    assert list(audit.newest(since=now - timedelta(days=1))) == []
    assert len(list(audit.newest(since=now - timedelta(days=2.5)))) == 1
    assert len(list(audit.newest())) == 3


def test_the_trail_goes_on_behind_what_was_granted_since(operations: Operations, redis: Redis) -> None:
    come(operations, *(order_webhook(id=some_id(number)) for number in (1, 2)))
    move(operations, 0, datetime.now(UTC) - timedelta(days=1))
    redis.flushall()
    come(operations, PAID)
    move(operations, 1, datetime.now(UTC))
    assert rebuild(operations).grants == 2
    newest = [one.grant.order_id for one in Audit(redis, operations.ledger).newest()]
    assert newest == [some_id(2), some_id(1), ORDER]
