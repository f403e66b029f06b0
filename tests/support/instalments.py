"""Builds orders with instalments, as the ledger has them, for tests of what follows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from config.intervals import Every
from tests.support.builders import CUSTOMER, Amount, some_id
from workers.core.claims import Claim, Standing
from workers.core.grants import Grant, Part, instalment_subject, order_subject
from workers.core.instalments import (
    Decision,
    Give,
    InstalmentRequest,
    SubscriptionState,
    decide_instalment,
)
from workers.core.later_claims import Instalment
from workers.core.schedule import PaidPeriod, instalment_at

ORDER, SUBSCRIPTION, PRODUCT = some_id(11), some_id(12), some_id(13)
BEGAN = datetime(2026, 1, 31, 12, tzinfo=UTC)
YEAR = PaidPeriod(
    subscription_id=SUBSCRIPTION,
    product_id=PRODUCT,
    start=BEGAN,
    end=datetime(2027, 1, 31, 12, tzinfo=UTC),
    ordered_at=BEGAN + timedelta(seconds=1),
)
ACTIVE = SubscriptionState(status="active", product_id=PRODUCT)


def part(rule: str, units: Amount, *policies: str, every: Every | None = Every.MONTH) -> Part:
    """Return a part of an order's grant; ``policies`` are of "refund" and "dispute"."""
    return Part(
        rule=rule,
        units=Decimal(units),
        revocable="refund" in policies,
        disputable="dispute" in policies,
        every=every,
    )


def own_grant(*parts: Part, meter: str = "api_usage") -> Grant:
    """Return what the order itself grants."""
    return Grant(
        subject=order_subject(ORDER),
        customer_id=CUSTOMER,
        meter=meter,
        property_name="units",
        parts=parts,
        order_id=ORDER,
        period=YEAR if any(part.every for part in parts) else None,
    )


def yearly(*parts: Part) -> Standing:
    """Return an order that has paid for YEAR, with these parts credited on one meter."""
    parts = parts or (part("yearly", 1000, "refund", "dispute"),)
    return Standing(
        subject=order_subject(ORDER), claims=(settled([own_grant(*parts)], delivery="msg-1"),), period=YEAR
    )


def settled(grants: Sequence[Grant], *, delivery: str) -> Claim:
    """Return a claim of these grants that Polar has confirmed."""
    return Claim(
        subject=grants[0].subject,
        delivery_id=delivery,
        claimed_at=BEGAN,
        grants=tuple(grants),
        settled={grant.meter: BEGAN for grant in grants},
        order_id=ORDER,
    )


def request(number: int = 2, meter: str = "api_usage") -> InstalmentRequest:
    """Return the request for an instalment of the order."""
    return InstalmentRequest(
        order_id=ORDER,
        number=number,
        meter=meter,
        customer_id=CUSTOMER,
        subscription_id=SUBSCRIPTION,
        product_id=PRODUCT,
    )


def decide(
    standing: Standing,
    number: int = 2,
    state: SubscriptionState | None = ACTIVE,
    late: timedelta = timedelta(0),
) -> Decision:
    """Return what becomes of an instalment at its date, or later by ``late``."""
    at = instalment_at(YEAR, standing.every("api_usage") or Every.MONTH, number)
    return decide_instalment(request(number), standing, state, at + late, f"instalment-{number}")


def given(standing: Standing, number: int = 2) -> Instalment:
    """Return the instalment that is given at its date."""
    decision = decide(standing, number)
    assert isinstance(decision, Give), decision
    return decision.instalment


def with_instalment(standing: Standing, one: Instalment, *, is_settled: bool = True) -> Standing:
    """Return the order once an instalment is claimed, and settled unless it is not."""
    claim = settled([one.grant], delivery=one.delivery_id)
    claim = claim if is_settled else replace(claim, settled={})
    begun = {**standing.begun, one.grant.meter: one.number}
    return replace(standing, claims=(*standing.claims, claim), begun=begun)


def after(standing: Standing, number: int) -> Standing:
    """Return the order once it has this many instalments, each given at its date."""
    for each in range(len(standing.instalments) + 2, number + 1):
        standing = with_instalment(standing, given(standing, each))
    return standing


def subject(number: int, meter: str = "api_usage") -> str:
    """Return the subject of an instalment of the order."""
    return instalment_subject(ORDER, number, meter)
