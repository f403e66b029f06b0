"""What refunds take back, in the ledger: noted when seen, frozen once, whoever comes at the same time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from threading import Barrier
from typing import cast

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER, fact_like, order_webhook, refund_webhook, rule, rules_of
from tests.support.fake_polar import FakePolar
from tests.support.fake_service import HUNDRED
from tests.support.real_stores import accept, claim_of
from tests.support.reversals import refund_take_back
from workers.core.claims import Refund, Standing
from workers.core.delivery import Lease, Outcome
from workers.core.delivery_plans import refund_plan
from workers.core.grants import order_subject, refund_subject
from workers.core.later_claims import TakeBack
from workers.core.planning import plan_for
from workers.core.plans import Plan
from workers.pipeline.granter import Granter
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

SUBJECT = order_subject(ORDER)
MIXED = rules_of(
    rule("pack", {"api_usage": "0.7", "images": 9}, on_refund="revoke"),
    rule("more", {"api_usage": 100}, on_refund="revoke"),
    rule("gift", {"api_usage": 7}),
)


def paid() -> Plan:
    return plan_for(fact_like(), MIXED)


def refund(cents: int) -> Plan:
    return refund_plan(refund_webhook(cents))


def taken_from(standing: Standing, delivery_id: str = "msg-2") -> TakeBack:
    found = refund_take_back(standing, delivery_id)
    assert found is not None
    return found


def sold(ledger: Ledger) -> None:
    ledger.claim([("msg-1", paid())])
    ledger.settle(paid().grants, [])


def take(ledger: Ledger, cents: int, delivery_id: str = "msg-2") -> Standing:
    """Process a refund as a worker does; return what the ledger has then."""
    (standing,) = ledger.claim([(delivery_id, refund(cents))])
    ledger.take_back([taken_from(standing, delivery_id)])
    return ledger.find(SUBJECT)


def test_a_take_back_is_read_as_it_was_frozen(ledger: Ledger) -> None:
    sold(ledger)
    (before,) = ledger.claim([("msg-2", refund(333))])
    due = taken_from(before)
    ledger.take_back([due])
    after = ledger.find(SUBJECT)
    assert after.refund == Refund(amount=333, share=Fraction(333, 1000))
    assert after.taken == due.after
    assert after.taken == {
        "api_usage": {"pack": Decimal("0.2331"), "more": Decimal("33.3")},
        "images": {"pack": 2},
    }
    assert after.own == before.own
    (taken,) = [claim for claim in after.claims if claim.subject == refund_subject(ORDER, 333)]
    assert (taken.grants, taken.delivery_id, taken.order_id) == (due.grants, "msg-2", ORDER)
    assert taken.unsettled == taken.grants
    assert refund_take_back(after, "msg-3") is None


def test_successive_refunds_add_up_to_everything(ledger: Ledger) -> None:
    sold(ledger)
    refunds = (1, 333, 999, 1000)
    standing = [take(ledger, cents, f"msg-{cents}") for cents in refunds][-1]
    taken: dict[str, Decimal] = {}
    for claim in standing.claims[1:]:
        for grant in claim.grants:
            taken[grant.meter] = taken.get(grant.meter, Decimal(0)) - grant.units
    assert taken == {"api_usage": Decimal("100.7"), "images": 9}
    assert {claim.subject for claim in standing.claims} == {
        SUBJECT,
        *(refund_subject(ORDER, cents) for cents in refunds),
    }


def test_a_refund_before_its_order_is_noted_without_a_claim(redis: Redis, ledger: Ledger) -> None:
    (early,) = ledger.claim([("msg-1", refund(300))])
    assert (early.claims, early.refund) == ((), Refund(amount=300, share=Fraction(3, 10)))
    assert redis.ttl(SUBJECT) == -1
    (standing,) = ledger.claim([("msg-2", paid())])
    assert claim_of(standing).delivery_id == "msg-2"
    assert standing.refund == early.refund
    assert refund_take_back(standing, "msg-2") is None
    ledger.settle(paid().grants, [])
    ledger.take_back([taken_from(ledger.find(SUBJECT))])
    assert ledger.find(SUBJECT).taken["images"] == {"pack": 2}


@pytest.mark.parametrize(
    ("seen", "highest"),
    [
        ([300, 500], 500),
        ([500, 300], 500),
        ([90, 100], 100),  # by number, not by text
        ([100, 90], 100),
        ([500, 500], 500),
        ([1000, 300], 1000),
    ],
)
def test_the_highest_refund_is_kept(ledger: Ledger, seen: Sequence[int], highest: int) -> None:
    *_, standing = [ledger.claim([("msg-1", refund(cents))])[0] for cents in seen]
    assert standing.refund == Refund(amount=highest, share=Fraction(highest, 1000))


@pytest.mark.parametrize("full_first", [False, True])
def test_of_two_refunds_of_one_amount_the_full_one_is_kept(ledger: Ledger, *, full_first: bool) -> None:
    """Rounding of taxes can leave a cent that Polar itself does not count."""
    partly = replace(refund(999), refund=Refund(amount=999, share=Fraction(999, 1000)))
    whole = replace(partly, refund=Refund(amount=999, share=Fraction(1)))
    plans = (whole, partly) if full_first else (partly, whole)
    *_, standing = ledger.claim([("msg-1", plan) for plan in plans])
    assert standing.refund == whole.refund


def test_a_take_back_computed_from_an_older_state_is_left_out(ledger: Ledger) -> None:
    sold(ledger)
    (old,) = ledger.claim([("msg-2", refund(300))])
    newer = take(ledger, 500, "msg-3")
    ledger.take_back([taken_from(old)])
    assert ledger.find(SUBJECT) == newer


def test_a_refund_is_frozen_once_whoever_repeats_it(redis: Redis, ledger: Ledger) -> None:
    sold(ledger)
    (old,) = ledger.claim([("msg-2", refund(300))])
    ledger.take_back([taken_from(old, "msg-2"), taken_from(old, "msg-3")])
    once = ledger.find(SUBJECT)
    ledger.take_back([taken_from(old, "msg-4")])
    assert ledger.find(SUBJECT) == once
    assert [claim.delivery_id for claim in once.claims] == ["msg-1", "msg-2"]
    also = cast(bytes, redis.hget(SUBJECT, "also"))
    assert also == b"refund:300"


def test_a_frozen_refund_without_a_link_is_linked_to_its_order_again(redis: Redis, ledger: Ledger) -> None:
    """A ledger may have been rebuilt from Polar; no worker may compute the same take-back for ever."""
    sold(ledger)
    whole = take(ledger, 300)
    redis.hdel(SUBJECT, "also", "taken:api_usage", "taken:images")
    (torn,) = ledger.claim([("msg-3", refund(300))])
    assert [claim.subject for claim in torn.claims] == [SUBJECT]
    ledger.take_back([taken_from(torn, "msg-3")])
    mended = ledger.find(SUBJECT)
    assert mended.claims == whole.claims
    assert refund_take_back(mended, "msg-4") is None


def test_twenty_workers_at_once_take_back_each_refund_once_and_no_more_than_its_share(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    polar = FakePolar()
    granter = Granter(
        deliveries=store, ledger=ledger, throttle=Throttle(redis), polar=polar, rules=lambda: HUNDRED
    )
    accept(redis_url, "paid", body=order_webhook())
    granter.run(store.lease(1))
    for number in range(20):  # each refund comes twice; in the end half of the order is refunded
        accept(redis_url, f"msg-{number}", body=refund_webhook(50 * (1 + number % 10)))
    at_once = Barrier(20)

    def work(number: int) -> Outcome:
        at_once.wait()
        return granter.run(Lease(deliveries=store.reopen([f"msg-{number}"])))[0]

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(work, range(20)))
    assert polar.balance(CUSTOMER) == 50
    standing = ledger.find(SUBJECT)
    assert standing.taken == {"api_usage": {"pack": 50}}
    assert sum(-grant.units for claim in standing.claims[1:] for grant in claim.grants) == 50
    assert all(not claim.unsettled for claim in standing.claims)
    keys = [event["external_id"] for request in polar.requests for event in request]
    assert set(keys) == {grant.key for claim in standing.claims for grant in claim.grants}
    assert {one.status.value for one in outcomes} <= {"granted", "skipped"}


def test_settling_a_refund_does_not_change_its_order(ledger: Ledger) -> None:
    sold(ledger)
    standing = take(ledger, 300)
    (refunded,) = [claim for claim in standing.claims if claim.subject != SUBJECT]
    before = ledger.count_grants()
    ledger.settle(refunded.grants, [])
    after = ledger.find(SUBJECT)
    assert after.own == standing.own
    assert [claim.unsettled for claim in after.claims if claim.subject != SUBJECT] == [()]
    assert ledger.count_grants() - before == len(refunded.grants)


def test_a_worker_whose_lease_has_run_out_takes_nothing_back(ledger: Ledger, store: DeliveryStore) -> None:
    sold(ledger)
    (held,) = store.store_and_lease([("msg-2", "order.refunded", refund_webhook(300))])
    (standing,) = ledger.claim([("msg-2", refund(300))], {"msg-2": held.attempt})
    store.reopen(["msg-2"])  # another worker has it by now
    ledger.take_back([taken_from(standing)], {"msg-2": held.attempt})
    assert ledger.find(SUBJECT).taken == {}
    ledger.take_back([taken_from(standing)], {"msg-2": held.attempt + 1})
    assert ledger.find(SUBJECT).taken == taken_from(standing).after
