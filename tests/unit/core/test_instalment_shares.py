"""Refunds and disputes of an order take their share of all instalments that have begun, and no more."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from config.rules import Rules
from tests.support.builders import (
    PAID_CENTS,
    dispute_webhook,
    refund_webhook,
    rule,
    rules_of,
)
from tests.support.examples import examples
from tests.support.instalment_shop import Year
from tests.support.strategies import amounts
from workers.core.begun import begun, taken_in_all, withheld
from workers.core.claims import Standing
from workers.core.grants import REVOKE, Grant

BOTH = rules_of(
    rule(
        "yearly",
        {"api_usage": 1000},
        triggers=["subscription_create"],
        every="month",
        on_refund="revoke",
        on_dispute="revoke",
    )
)
KEPT = rules_of(
    rule("yearly", {"api_usage": 1000}, triggers=["subscription_create"], every="month"),
    rule("start", {"api_usage": 500}, triggers=["subscription_create"], on_refund="revoke"),
)


def test_a_refund_takes_its_share_of_what_was_begun() -> None:
    year = Year(BOTH)
    year.give(2)
    assert year.tell(refund_webhook(250)) == "took back 750 api_usage"
    assert year.balance == 2250


def test_a_later_instalment_is_smaller_and_a_further_refund_takes_only_the_difference() -> None:
    year = Year(BOTH)
    year.tell(refund_webhook(250))
    year.give(1)
    assert withheld(year.standing) == {"api_usage": {"yearly": 250}}
    assert year.balance == 750 + 750
    assert year.tell(refund_webhook(500)) == "took back 500 api_usage"
    assert year.balance == 1000


def test_a_full_refund_takes_everything_and_ends_the_rest() -> None:
    year = Year(BOTH)
    year.give(1)
    year.tell(refund_webhook(333))
    year.give(2)
    year.tell(refund_webhook(PAID_CENTS))
    assert year.balance == 0
    assert year.begin() is None


def test_where_nothing_is_revoked_a_partial_refund_changes_nothing_and_a_full_one_ends_the_rest() -> None:
    year = Year(KEPT)
    year.tell(refund_webhook(500))
    year.give(1)
    assert year.balance == 1000 + 250 + 1000
    year.tell(refund_webhook(PAID_CENTS))
    assert year.balance == 2000
    assert year.begin() is None


def test_a_lost_dispute_ends_the_rest() -> None:
    year = Year(BOTH)
    year.give(1)
    year.tell(dispute_webhook(7, 250))
    assert year.balance == 1500
    assert year.begin() is None


def test_a_refund_that_comes_while_an_instalment_is_on_its_way_waits_for_it() -> None:
    year = Year(BOTH)
    sent = year.begin()
    assert sent is not None
    reason = year.tell(refund_webhook(500))
    assert reason == "an instalment of this order is not at Polar yet: the refund counts when it is"
    assert year.balance == 1000
    year.settle(sent)
    assert year.balance == 1000


def test_a_revoke_by_hand_waits_too_then_takes_the_rest_and_ends_the_chain() -> None:
    year = Year(BOTH)
    sent = year.begin()
    assert sent is not None
    assert year.revoke() == (
        "an instalment of this order is not at Polar yet (see `credits show instalment-2`)"
    )
    year.settle(sent)
    year.tell(refund_webhook(500))
    assert year.revoke() == "took back 1000 api_usage"
    assert year.balance == 0
    assert year.begin() is None


def test_an_instalment_that_was_dismissed_counts_as_never_begun() -> None:
    year = Year(BOTH)
    refused = year.begin()
    assert refused is not None
    year.dismiss(refused)
    year.give(1)
    assert withheld(year.standing) == {"api_usage": {"yearly": 0}}
    assert year.tell(refund_webhook(500)) == "took back 1000 api_usage"
    assert year.balance == 1000


STEPS = st.one_of(
    st.sampled_from(["begin", "begin", "settle", "settle", "dismiss", "revoke"]),
    st.tuples(st.just("refund"), st.integers(1, PAID_CENTS)),
    st.tuples(st.just("dispute"), st.integers(1, PAID_CENTS // 2)),
)
POLICIES = st.sampled_from(["keep", "revoke"])


@st.composite
def _rules(draw: st.DrawFn) -> Rules:
    lines = [
        rule(
            f"rule-{number}",
            {"api_usage": draw(amounts)},
            triggers=["subscription_create"],
            on_refund=draw(POLICIES),
            on_dispute=draw(POLICIES),
            **({"every": "month"} if number == 0 or draw(st.booleans()) else {}),
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    return rules_of(*lines)


@given(rules=_rules(), steps=st.lists(STEPS, max_size=12), last_refund=st.booleans())
@settings(max_examples=examples(400))
def test_what_is_withheld_and_taken_never_exceeds_the_share_of_all(
    rules: Rules, steps: list[str | tuple[str, int]], *, last_refund: bool
) -> None:
    year, refunded, disputed = Year(rules), 0, 0
    sent: list[Grant] = []  # the instalment that is claimed, and not settled yet
    for step in steps:
        match step:
            case "begin" if not sent:
                sent = [grant for grant in [year.begin()] if grant]
            case "settle" if sent:
                year.settle(sent.pop())
            case "dismiss" if sent:
                year.dismiss(sent.pop())
                year.work()
            case "revoke":
                year.revoke()
            case ("refund", int(cents)) if cents > refunded:
                refunded = cents
                year.tell(refund_webhook(cents))
            case ("dispute", int(cents)) if disputed + cents <= PAID_CENTS:
                disputed += cents
                year.tell(dispute_webhook(cents, cents))
        _check(year.standing)
        assert year.lowest >= 0
    while sent:
        year.settle(sent.pop())
    if last_refund and refunded < PAID_CENTS:
        year.tell(refund_webhook(PAID_CENTS))
        _check(year.standing)
        _check_all_is_taken(year.standing)
    assert year.lowest >= 0


def _check(standing: Standing) -> None:
    """Check each rule's part: what is withheld and taken is at most its share of all that was begun."""
    taken = taken_in_all(standing).get("api_usage", {})
    is_revoked = any(claim.subject.startswith(REVOKE) for claim in standing.claims)
    for rule_name, units, share in _shares(standing):
        assert Fraction(taken.get(rule_name, Decimal(0))) <= Fraction(units) * (1 if is_revoked else share)


def _check_all_is_taken(standing: Standing) -> None:
    taken = taken_in_all(standing).get("api_usage", {})
    for rule_name, units, share in _shares(standing):
        if share == 1:
            assert taken.get(rule_name) == units


def _shares(standing: Standing) -> list[tuple[str, Decimal, Fraction]]:
    refunded = standing.refund.share if standing.refund else Fraction(0)
    disputed = sum((one.share for one in standing.disputes), Fraction(0))
    return [
        (part.rule, part.units, min(Fraction(1), part.revocable * refunded + part.disputable * disputed))
        for grant in begun(standing)
        for part in grant.parts
    ]
