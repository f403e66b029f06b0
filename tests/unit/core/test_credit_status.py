"""What a storefront is told about an order."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.support.builders import CUSTOMER, grant_of, some_id
from workers.core.claims import Claim
from workers.core.credit_status import CreditState, CreditStatus, credit_state
from workers.core.delivery import Delivery, Status
from workers.core.grants import Grant, Part, adjust_subject, customer_subject, order_subject, refund_subject

ORDER = some_id(1)
SUBJECT = order_subject(ORDER)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def delivery(
    status: Status, reason: str = "", *, type_: str = "order.paid", settled_at: datetime | None = NOON
) -> Delivery:
    return Delivery(
        id="msg-1",
        type=type_,
        status=status,
        reason=reason,
        received_at=NOON,
        settled_at=settled_at,
        attempts=1,
        subject=SUBJECT,
        order_id=ORDER,
        customer_id=CUSTOMER,
    )


def claim(*grants: Grant, settled: tuple[str, ...] = (), subject: str = SUBJECT) -> Claim:
    return Claim(
        subject=subject,
        delivery_id="msg-1",
        claimed_at=NOON,
        grants=grants,
        settled=dict.fromkeys(settled, NOON),
        order_id=ORDER,
    )


def taken(units: int, *, meter: str = "api_usage", subject: str = "") -> Grant:
    return Grant(
        subject=subject or refund_subject(ORDER, 500),
        customer_id=CUSTOMER,
        meter=meter,
        property_name="units",
        parts=(Part(rule="pack", units=Decimal(-units)),),
        order_id=ORDER,
    )


def amounts(**units: int) -> dict[str, Decimal]:
    return {meter: Decimal(number) for meter, number in units.items()}


def state_of(*claims: Claim, deliveries: tuple[Delivery, ...] = ()) -> CreditState:
    return credit_state(claims, deliveries)


def test_an_order_that_nobody_has_read_about_is_unknown() -> None:
    assert state_of() == CreditState(status=CreditStatus.UNKNOWN)


def test_a_claim_waits_until_polar_has_confirmed_every_meter() -> None:
    both = (grant_of(1, 10), grant_of(1, 5, meter="images"))
    waiting = state_of(claim(*both, settled=("api_usage",)))
    assert waiting.status is CreditStatus.WAITING
    assert waiting.credits == amounts(api_usage=10)
    granted = state_of(claim(*both, settled=("api_usage", "images")))
    assert granted.status is CreditStatus.GRANTED
    assert granted.credits == amounts(api_usage=10, images=5)
    assert granted.granted_at == NOON


def test_a_bonus_that_the_order_earned_is_part_of_its_credits() -> None:
    bonus = Grant(
        subject=customer_subject(CUSTOMER, "first"),
        customer_id=CUSTOMER,
        meter="api_usage",
        property_name="units",
        parts=(Part(rule="first", units=Decimal(50)),),
        order_id=ORDER,
    )
    earned = claim(bonus, settled=("api_usage",), subject=bonus.subject)
    state = state_of(claim(grant_of(1, 10), settled=("api_usage",)), earned)
    assert state.status is CreditStatus.GRANTED
    assert state.credits == amounts(api_usage=60)


def test_what_was_taken_back_is_counted_apart_and_positive() -> None:
    own = claim(grant_of(1, 10), settled=("api_usage",))
    settled = claim(taken(4), settled=("api_usage",), subject=refund_subject(ORDER, 500))
    on_its_way = claim(taken(3), subject=refund_subject(ORDER, 800))
    state = state_of(own, settled, on_its_way)
    assert state.credits == amounts(api_usage=10)
    assert state.taken_back == amounts(api_usage=4)
    assert state.status is CreditStatus.GRANTED  # what a refund takes does not make the order wait again


@pytest.mark.parametrize(
    ("status", "told"), [(Status.SKIPPED, CreditStatus.SKIPPED), (Status.FAILED, CreditStatus.FAILED)]
)
def test_without_a_claim_the_newest_webhook_about_the_order_decides(
    status: Status, told: CreditStatus
) -> None:
    older = delivery(Status.SKIPPED, "older", settled_at=NOON - timedelta(hours=1))
    state = state_of(deliveries=(delivery(status, "why"), older))
    assert (state.status, state.reason) == (told, "why")


def test_a_claim_that_polar_refused_has_failed() -> None:
    state = state_of(claim(grant_of(1)), deliveries=(delivery(Status.FAILED, "Polar refused it"),))
    assert (state.status, state.reason, state.credits) == (CreditStatus.FAILED, "Polar refused it", {})


def test_a_replay_makes_the_order_wait_again() -> None:
    state = state_of(claim(grant_of(1)), deliveries=(delivery(Status.WAITING, settled_at=None),))
    assert (state.status, state.reason) == (CreditStatus.WAITING, None)


@pytest.mark.parametrize("type_", ["order.refunded", "credits.take_back", "credits.dispute", "manual.revoke"])
def test_a_delivery_that_only_takes_back_says_nothing_about_the_credits(type_: str) -> None:
    state = state_of(deliveries=(delivery(Status.SKIPPED, "counts later", type_=type_),))
    assert (state.status, state.reason) == (CreditStatus.UNKNOWN, None)


def test_a_second_webhook_about_a_credited_order_changes_nothing() -> None:
    own = claim(grant_of(1, 10), settled=("api_usage",))
    state = state_of(own, deliveries=(delivery(Status.SKIPPED, "credited before"),))
    assert (state.status, state.reason) == (CreditStatus.GRANTED, None)


def test_an_adjustment_counts_where_it_gives_and_where_it_takes_and_holds_up_no_status() -> None:
    up, down, open_ = (adjust_subject(ORDER, number) for number in (1, 2, 3))
    state = state_of(
        claim(grant_of(1, 5), settled=("api_usage",)),
        claim(taken(-45, subject=up), settled=("api_usage",), subject=up),
        claim(taken(20, subject=down), settled=("api_usage",), subject=down),
        claim(taken(-9, subject=open_), subject=open_),
    )
    assert state.status is CreditStatus.GRANTED
    assert (state.credits, state.taken_back) == (amounts(api_usage=50), amounts(api_usage=20))
