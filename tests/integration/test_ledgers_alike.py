"""The ledger in memory does what the one in Redis does: unit tests stand on it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.support.builders import (
    dispute_webhook,
    fact_like,
    offer,
    offer_request,
    offers_of,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.examples import examples
from tests.support.fakes import Clock, FakeStore
from tests.support.real_stores import RETAIN
from workers.core.adjustments import adjustment_due
from workers.core.claims import Adjust, Claim, Refund, Revoke, Standing
from workers.core.delivery_plans import refund_plan
from workers.core.dispute_delivery import dispute_plan
from workers.core.grants import Grant, order_subject
from workers.core.manual import ManualGrant, ManualRevoke
from workers.core.offers import offer_plan
from workers.core.planning import plan_for
from workers.core.plans import Plan
from workers.core.take_back_delivery import is_take_back_delivery
from workers.core.takebacks import due_take_backs
from workers.pipeline.ports import Ledger as LedgerPort
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.restorations import RestorationStore

PACK = rule("pack", {"api_usage": "0.7", "images": 9}, on_refund="revoke")
KEPT = rule("kept", {"api_usage": 100}, on_dispute="revoke")
BONUS = rule("bonus", {"api_usage": 50, "seconds": 1}, once_per="customer")
SECOND = rule("second", {"images": 7}, once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25}, triggers=["customer.created"])
TRIAL = rule("trial", {"images": 4}, triggers=["trial_start", "purchase"])
FILES = [
    rules_of(PACK, KEPT),
    rules_of(PACK, BONUS, WELCOME),
    rules_of(BONUS, SECOND),
    rules_of(KEPT, SECOND, WELCOME.replace("welcome", "hello")),
    rules_of(TRIAL, BONUS),
    rules_of(),
]
OFFERS = offers_of(
    offer("capped", {"api_usage": 5}, most_per_customer=1), offer("once", {"images": 2}, once_per="customer")
)
BY_HAND = [
    ManualGrant(
        key="beta",
        customer="user%3A1",
        customer_id=some_id(number),
        meter="api usage: 1%",
        property_name="amount",
        units=Decimal(5),
        reason="why not",
    )
    for number in (1, 2)
]
REVOKED = [
    ManualRevoke(order_id=some_id(number), customer_id=some_id(9), meter=meter)
    for number in (1, 2)
    for meter in (None, "images")
]
FACTS = [
    fact_like(id=some_id(1)),
    fact_like(id=some_id(1), refunded_amount=100),
    fact_like(id=some_id(2)),
    fact_like("customer_created"),
    fact_like("order_paid_trial_start_zero", id=some_id(1)),
    fact_like("order_paid_subscription_cancel_final_invoice", id=some_id(2)),
]
PLANS = [
    *(plan_for(fact, rules) for fact in FACTS for rules in FILES),
    *(
        refund_plan(refund_webhook(cents, id=some_id(number)))
        for cents in (0, 1, 333, 1000)
        for number in (1, 2)
    ),
    *(
        dispute_plan(dispute_webhook(dispute, cents, id=some_id(number)))
        for dispute, cents, number in ((5, 400, 1), (6, 1000, 1), (7, 300, 2))
    ),
    *(one.plan() for one in BY_HAND),
    *(one.plan() for one in REVOKED),
    *(
        offer_plan(offer_request(offer, key, some_id(customer)), some_id(customer), OFFERS)
        for offer in ("capped", "once")
        for key in ("k1", "k2")
        for customer in (1, 2)
    ),
]

_ANY_TIME = datetime(2026, 11, 21, tzinfo=UTC)


class Readable(LedgerPort, Protocol):
    """A ledger that can be looked into."""

    def find_for_plan(self, plan: Plan) -> Standing:
        """Return what stands for all that ``plan`` is about."""
        ...

    def confirm(self, grants: Sequence[Grant]) -> None:
        """Note that Polar has these grants as the ledger has them."""
        ...


class RealLedger(Ledger):
    """The ledger in Redis, with what the background process writes."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, retain=RETAIN)
        self.confirm = RestorationStore(redis).confirm


Step = Callable[[Readable], list[Standing]]


def claims(batch: list[tuple[int, int]]) -> Step:
    """Claim some plans at once, each by some delivery."""
    return lambda book: book.claim([(f"msg-{number}", PLANS[at]) for number, at in batch])


def looks(at: int) -> Step:
    return lambda book: [book.find_for_plan(PLANS[at])]


def takes_back(shares: list[tuple[int, int, int]], by_hand: set[str | None], *, stale: bool) -> Step:
    """Freeze what is taken back, after refunds and by hand; stale: worked out before anything was taken."""

    def step(book: Readable) -> list[Standing]:
        looked = [(f"msg-{number}", look(book, order), cents) for number, order, cents in shares]
        told = [
            (id_, replace(one, refund=share_of(cents), taken={} if stale else one.taken))
            for id_, one, cents in looked
        ]
        plans = [Plan(subject="", revoke=Revoke(meter=meter)) for meter in by_hand] or [Plan(subject="")]
        book.take_back(
            [due for plan in plans for id_, one in told for due in due_take_backs(one, id_, plan.revoke)]
        )
        return [look(book, order) for _, order, _ in shares]

    return step


def adjusts(order: int, units: int, *, stale: bool) -> Step:
    """Freeze an adjustment of what the rule ``pack`` gave; stale: worked out before the last one was made."""

    def step(book: Readable) -> list[Standing]:
        standing = look(book, order)
        if stale and standing.adjusted:
            standing = replace(standing, adjusted=standing.adjusted - 1)
        wanted = plan_for(fact_like(id=some_id(order)), rules_of(rule("pack", {"images": units}))).grants
        request = Adjust(rule="pack", number=standing.adjusted + 1, wanted=wanted)
        due = adjustment_due(standing, request, f"adjust-{order}")
        book.take_back([due] if due else [])
        return [look(book, order)]

    return step


def settles_corrections(order: int) -> Step:
    """Settle everything that is open of an order, adjustments included."""

    def step(book: Readable) -> list[Standing]:
        open_ = [grant for claim in look(book, order).claims for grant in claim.unsettled]
        book.settle(open_, [], ())
        return [look(book, order)]

    return step


def look(book: Readable, order: int) -> Standing:
    return book.find_for_plan(Plan(subject=order_subject(some_id(order))))


def share_of(cents: int) -> Refund:
    return Refund(amount=cents, share=Fraction(cents, 1000))


def settles(at: int, meters: set[str], *, is_doubtful: bool) -> Step:
    """Settle what stands open of a plan, and what may never have been claimed."""

    def step(book: Readable) -> list[Standing]:
        standing = book.find_for_plan(PLANS[at])
        open_ = [grant for claim in (*standing.claims, *standing.elsewhere) for grant in claim.grants]
        accepted = [one for one in [*open_, *PLANS[at].grants] if one.meter in meters]
        book.settle(accepted, [], {one.key for one in accepted} if is_doubtful else ())
        return [book.find_for_plan(PLANS[at])]

    return step


def confirms(at: int, meters: set[str]) -> Step:
    """Confirm what is unconfirmed of a plan."""

    def step(book: Readable) -> list[Standing]:
        standing = book.find_for_plan(PLANS[at])
        grants = [
            grant
            for claim in (*standing.claims, *standing.elsewhere)
            for grant in claim.grants
            if grant.meter in meters & claim.unconfirmed.keys()
        ]
        book.confirm(grants)
        return [book.find_for_plan(PLANS[at])]

    return step


_places = st.integers(0, len(PLANS) - 1)
_ids = st.integers(1, 4)
_orders = st.integers(1, 2)
_cents = st.sampled_from([1, 333, 1000])
_shares = st.lists(st.tuples(_ids, _orders, _cents), min_size=1, max_size=3)
_meters = st.sampled_from(["api_usage", "images", "seconds", "api usage: 1%"])
steps = st.one_of(
    st.lists(st.tuples(_ids, _places), min_size=1, max_size=3).map(claims),
    _places.map(looks),
    st.builds(
        takes_back, _shares, st.sets(st.sampled_from([None, "api_usage", "images"])), stale=st.booleans()
    ),
    st.builds(
        settles,
        _places,
        st.sets(_meters),
        is_doubtful=st.booleans(),
    ),
    st.builds(confirms, _places, st.sets(_meters)),
    st.builds(adjusts, _orders, st.integers(1, 20), stale=st.booleans()),
    _orders.map(settles_corrections),
)


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=12))
def test_whatever_is_asked_of_them_both_ledgers_give_the_same_answers(
    redis: Redis, story: list[Step]
) -> None:
    redis.flushall()
    real, fake = RealLedger(redis), FakeStore(Clock())
    for step in story:
        assert timeless(step(real)) == timeless(step(fake))
    for plan in PLANS:
        assert timeless([real.find_for_plan(plan)]) == timeless([fake.find_for_plan(plan)])
    assert real.count_grants() == len(fake.audit)
    takings = {id_ for id_ in fake.deliveries if is_take_back_delivery(id_)}
    assert {one.id for one in DeliveryStore(redis).newest()} == takings


def timeless(standings: list[Standing]) -> list[Standing]:
    """Return the standings with the same moments everywhere, for these alone may differ."""
    return [
        replace(one, claims=tuple(map(_timeless, one.claims)), elsewhere=tuple(map(_timeless, one.elsewhere)))
        for one in standings
    ]


def _timeless(claim: Claim) -> Claim:
    return replace(claim, claimed_at=_ANY_TIME, settled=dict.fromkeys(claim.settled, _ANY_TIME))


def test_the_plans_lead_to_all_kinds_of_claims() -> None:
    """Sequences of nothing would prove nothing."""
    grants: list[Grant] = [grant for plan in PLANS for grant in plan.grants]
    assert {grant.subject.split(":")[1] for grant in grants} == {"order", "customer", "manual", "offer"}
    assert any(part.revocable for grant in grants for part in grant.parts)
    assert any(not plan.grants for plan in PLANS)
    assert any(plan.refund for plan in PLANS)
    assert any(plan.revoke for plan in PLANS)
