"""The ledger in memory does what the one in Redis does: unit tests stand on it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
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
from tests.support.fake_clock import Clock
from tests.support.fake_store.store import FakeStore
from tests.support.real_stores import RETAIN
from workers.core.adjustments import adjustment_due
from workers.core.claims import Adjust, Claim, Refund, Revoke, Standing
from workers.core.delivery import Outcome, Status
from workers.core.delivery_plans import refund_plan
from workers.core.dispute_delivery import dispute_plan
from workers.core.grants import Grant, order_subject
from workers.core.manual import MANUAL_REVOKE, ManualGrant, ManualRevoke
from workers.core.offers import offer_plan
from workers.core.planning import plan_for
from workers.core.plans import Plan
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
REVOKE_BODY = REVOKED[0].delivery()[2]
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

    def lease_revoke(self, delivery_id: str, *, by_name: bool) -> int:
        """Lease the delivery of a revoke, which is stored if it is new; return the attempt."""
        ...

    def put_to_rest(self, delivery_id: str) -> None:
        """Dismiss a failed delivery."""
        ...


class RealLedger(Ledger):
    """The ledger in Redis, with what the background process writes."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, retain=RETAIN)
        self.confirm = RestorationStore(redis).confirm
        self._deliveries = DeliveryStore(redis)

    def lease_revoke(self, delivery_id: str, *, by_name: bool) -> int:
        known = self._deliveries.reopen([delivery_id], by_name=by_name)
        new = known or self._deliveries.store_and_lease([(delivery_id, MANUAL_REVOKE, REVOKE_BODY)])
        return new[0].attempt

    def put_to_rest(self, delivery_id: str) -> None:
        self._deliveries.dismiss([delivery_id], retain=RETAIN)


class FakeLedger(FakeStore):
    """The ledger in memory."""

    def lease_revoke(self, delivery_id: str, *, by_name: bool) -> int:
        self.accept(delivery_id, REVOKE_BODY)
        return self.reopen(delivery_id, by_name=by_name).deliveries[0].attempt

    def put_to_rest(self, delivery_id: str) -> None:
        self.dismiss(delivery_id)


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


def revokes(number: int, order: int, meter: str | None) -> Step:
    """Freeze what a person takes back, by a delivery that makes no other claims."""

    def step(book: Readable) -> list[Standing]:
        book.take_back(due_take_backs(look(book, order), f"revoke-{number}", Revoke(meter=meter)))
        return [look(book, order)]

    return step


def fails_and_rests(number: int, order: int) -> Step:
    """Polar refuses a revoke, and a person dismisses it: with it rests what its delivery has claimed."""

    def step(book: Readable) -> list[Standing]:
        _end(book, f"revoke-{number}", order, Status.FAILED, by_name=False)
        book.put_to_rest(f"revoke-{number}")
        return [look(book, order)]

    return step


def replays(number: int, order: int, *, by_name: bool) -> Step:
    """A person runs a revoke again: one that was dismissed is decided anew if it is named."""

    def step(book: Readable) -> list[Standing]:
        _end(book, f"revoke-{number}", order, Status.SKIPPED, by_name=by_name)
        return [look(book, order)]

    return step


def _end(book: Readable, delivery_id: str, order: int, status: Status, *, by_name: bool) -> None:
    attempt = book.lease_revoke(delivery_id, by_name=by_name)
    outcome = Outcome(
        delivery_id=delivery_id,
        attempt=attempt,
        status=status,
        reason="refused",
        subject=order_subject(some_id(order)),
        relies_on=tuple(claim.subject for claim in look(book, order).claims),
    )
    assert book.settle([], [outcome], ()) == set()


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
    st.builds(revokes, _ids, _orders, st.sampled_from([None, "images"])),
    st.builds(fails_and_rests, _ids, _orders),
    st.builds(replays, _ids, _orders, by_name=st.booleans()),
    st.builds(adjusts, _orders, st.integers(1, 20), stale=st.booleans()),
    _orders.map(settles_corrections),
)


# An order of which Polar has everything, and a revoke that was dismissed.
REVOKED_ONCE = [
    claims([(1, PLANS.index(plan_for(FACTS[0], FILES[0])))]),
    settles(PLANS.index(plan_for(FACTS[0], FILES[0])), {"api_usage", "images"}, is_doubtful=False),
    revokes(1, 1, None),
    fails_and_rests(1, 1),
]
by_hand = st.one_of(
    st.builds(revokes, st.just(1), st.just(1), st.sampled_from([None, "images"])),
    st.builds(fails_and_rests, st.just(1), st.just(1)),
    st.builds(replays, st.just(1), st.just(1), by_name=st.booleans()),
    st.builds(takes_back, _shares, st.just(set()), stale=st.booleans()),
    st.builds(adjusts, st.just(1), st.integers(1, 20), stale=st.booleans()),
    st.builds(settles, st.just(PLANS.index(REVOKED[0].plan())), st.sets(_meters), is_doubtful=st.booleans()),
)


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(by_hand, max_size=12))
def test_both_ledgers_decide_the_same_revokes_anew(redis: Redis, story: list[Step]) -> None:
    redis.flushall()
    real, fake = RealLedger(redis), FakeLedger(Clock())
    for step in [*REVOKED_ONCE, *story]:
        assert timeless(step(real)) == timeless(step(fake))
    assert {one.id for one in DeliveryStore(redis).newest()} == fake.deliveries.keys()


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=12))
def test_whatever_is_asked_of_them_both_ledgers_give_the_same_answers(
    redis: Redis, story: list[Step]
) -> None:
    redis.flushall()
    real, fake = RealLedger(redis), FakeLedger(Clock())
    for step in story:
        assert timeless(step(real)) == timeless(step(fake))
    for plan in PLANS:
        assert timeless([real.find_for_plan(plan)]) == timeless([fake.find_for_plan(plan)])
    assert real.count_grants() == len(fake.audit)
    assert {one.id for one in DeliveryStore(redis).newest()} == fake.deliveries.keys()


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
