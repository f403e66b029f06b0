"""Refunds and disputes of an order take their share of all instalments that have begun, and no more."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from config.rules import Rules
from tests.support.builders import (
    PAID_CENTS,
    Amount,
    dispute_webhook,
    refund_webhook,
    rule,
    rules_of,
)
from tests.support.drawn_rules import amounts
from tests.support.examples import examples
from tests.support.instalment_shop import Year
from workers.core.begun import begun, taken_in_all, withheld
from workers.core.claims import Standing
from workers.core.grants import REVOKE, Grant
from workers.core.takebacks import is_reversal_incomplete

_NOTHING = Decimal(0)


def monthly(units: Amount) -> Rules:
    """Return a rule of which refunds and lost disputes take back."""
    policies = {"every": "month", "on_refund": "revoke", "on_dispute": "revoke"}
    return rules_of(rule("yearly", {"api_usage": units}, triggers=["subscription_create"], **policies))


BOTH = monthly(1000)
KEPT = rules_of(
    rule("yearly", {"api_usage": 1000}, triggers=["subscription_create"], every="month"),
    rule("start", {"api_usage": 500}, triggers=["subscription_create"], on_refund="revoke"),
)


def test_a_refund_takes_its_share_of_what_was_begun() -> None:
    year = Year(BOTH)
    year.give(2)
    assert year.tell(refund_webhook(250)) == "took back 750 api_usage"
    assert year.balance == 2250


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_refund_takes_its_share_of_fractions_also_where_they_add_up_to_whole_credits(number: int) -> None:
    year = Year(monthly("0.5"))
    year.give(number)
    year.tell(refund_webhook(250))
    assert year.balance == Decimal("0.375") * (1 + number)
    year.give(1)
    assert year.balance == Decimal("0.375") * (2 + number)


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


@pytest.mark.parametrize("units", [7, 10, Decimal("0.1"), 1000])
def test_what_instalments_round_off_is_no_refund_that_took_too_little(
    units: Amount,
) -> None:
    year = Year(monthly(units))
    year.tell(refund_webhook(PAID_CENTS // 3))
    for _ in range(11):
        year.give()
        assert not is_reversal_incomplete(year.standing)


def test_a_refund_that_took_too_little_is_told_beside_instalments() -> None:
    year = Year(BOTH)
    year.give()
    year.tell(refund_webhook(PAID_CENTS // 3))
    standing = year.standing
    assert not is_reversal_incomplete(standing)
    assert is_reversal_incomplete(replace(standing, taken={"api_usage": {"yearly": Decimal(600)}}))


@dataclass
class Story:
    """A year to which things happen, some of them while an instalment is on its way to Polar."""

    year: Year
    sent: Grant | None = None
    """The instalment that is claimed, and not settled yet."""
    refunded: int = 0
    disputed: int = 0

    def happen(self, step: str, cents: int) -> None:
        """Let one step happen; one that is impossible now does nothing."""
        if step == "refund" and self.refunded + cents <= PAID_CENTS:
            self.refunded += cents
            self.year.tell(refund_webhook(self.refunded))
        elif step == "dispute" and self.disputed + cents <= PAID_CENTS:
            self.disputed += cents
            self.year.tell(dispute_webhook(self.disputed, cents))
        elif step == "revoke":
            self.year.revoke()
        elif step == "dismiss" and self.sent:
            self.year.dismiss(self.sent)
            self.sent = None
            self.year.work()
        elif step in {"begin", "give"}:
            self.sent = self.sent or self.year.begin()
        if step in {"settle", "give"}:
            self.settle()

    def settle(self) -> None:
        """Let Polar accept what is on its way."""
        if self.sent:
            self.year.settle(self.sent)
            self.sent = None


STEPS = (
    ["give"] * 6 + ["begin"] * 2 + ["settle", "refund", "refund", "refund", "dispute", "revoke", "dismiss"]
)
POLICIES = st.sampled_from(["keep", "revoke", "revoke"])


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


@given(
    rules=_rules(),
    steps=st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(1, PAID_CENTS // 3)), min_size=4, max_size=14
    ),
    last_refund=st.booleans(),
)
@settings(max_examples=examples(400))
def test_what_is_withheld_and_taken_never_exceeds_the_share_of_all(
    rules: Rules, steps: list[tuple[str, int]], *, last_refund: bool
) -> None:
    story = Story(Year(rules))
    for step, cents in steps:
        story.happen(step, cents)
        _check(story)
    story.settle()
    if last_refund:
        story.happen("refund", PAID_CENTS - story.refunded)
        _check_all_is_taken(story.year.standing)
    _check(story)


def _check(story: Story) -> None:
    """Check each rule's part: what is withheld and taken is at most its share of all that was begun."""
    year, standing = story.year, story.year.standing
    taken = _taken(standing)
    is_revoked = any(claim.subject.startswith(REVOKE) for claim in standing.claims)
    for name, units, share in _shares(standing):
        assert Fraction(taken.get(name, _NOTHING)) <= Fraction(units) * (1 if is_revoked else share)
    if not story.sent:
        left = (units - taken.get(name, _NOTHING) for name, units, _ in _shares(standing))
        assert year.balance == sum(left, _NOTHING)
    assert year.lowest >= 0


def _taken(standing: Standing) -> Mapping[str, Decimal]:
    return taken_in_all(standing).get("api_usage", {})


def _check_all_is_taken(standing: Standing) -> None:
    taken = _taken(standing)
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
