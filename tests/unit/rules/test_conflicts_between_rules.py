"""Conflicts between two rules: which could credit one thing twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.rules import Rule, Trigger
from config.rules.conflicts import conflicts_between
from config.rules.problems import Place
from tests.support.drawing import CREATED, PRODUCTS
from tests.support.rule_files import PRODUCT, file_of, parse, problems

OTHER_PRODUCT = "0b1c9f3e-2f66-4b0e-8a7e-5d3c1b2a4f55"


def both(first: str, second: str) -> str:
    return file_of(
        f"{{name: paid, triggers: [subscription_cycle], {first}}}",
        f"{{name: begun, triggers: [subscription.cycled], {second}}}",
    )


class TestBetweenRules:
    def test_one_cycle_could_be_credited_twice(self) -> None:
        """The problem is at the later of the two; both rules, the other's line and the meter are named."""
        assert problems(both("grant: {m: 1}", "grant: {n: 1, m: 2}")) == [
            "rules.yaml:5:3: rules[1]: rule 'paid' on line 4 credits subscription_cycle, this rule credits "
            "subscription.cycled: both could credit one billing cycle to 'm'; "
            "keep one of them, or end one with `until` where the other begins with `from` (rule begun)"
        ]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("", ""),
            (f"products: [{PRODUCT}],", ""),
            ("", f"products: [{PRODUCT}],"),
            (f"products: [{PRODUCT}, {OTHER_PRODUCT}],", f"products: [{PRODUCT}],"),
            ("when: seats > 1,", "when: seats == 1,"),
            ("until: 2026-12-01T00:00:01Z,", "from: 2026-12-01T00:00:00Z,"),
            ("from: 2026-12-01T00:00:00Z,", "until: 2026-12-01T00:00:01Z,"),
            ("until: 2026-12-01T00:00:00Z,", "until: 2026-12-01T00:00:00Z,"),
            ("from: 2026-12-01T00:00:00Z,", "from: 2027-12-01T00:00:00Z,"),
        ],
    )
    def test_whatever_their_conditions(self, first: str, second: str) -> None:
        """They conflict if they share products, meters and time, in whichever order they are written."""
        assert len(problems(both(f"{first} grant: {{m: 1}}", f"{second} grant: {{m: 1}}"))) == 1
        swapped = file_of(
            f"{{name: begun, triggers: [subscription.cycled], {second} grant: {{m: 1}}}}",
            f"{{name: paid, triggers: [purchase, subscription_cycle], {first} grant: {{m: 1}}}}",
        )
        assert "rule 'begun' on line 4 credits subscription.cycled, this rule credits" in problems(swapped)[0]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (f"products: [{PRODUCT}], grant: {{m: 1}}", f"products: [{OTHER_PRODUCT}], grant: {{m: 1}}"),
            ("grant: {m: 1}", "grant: {n: 1}"),
            ("once_per: customer, grant: {m: 1}", "grant: {m: 1}"),
            ("grant: {m: 1}", "once_per: customer, grant: {m: 1}"),
            ("until: 2026-12-01T00:00:00Z, grant: {m: 1}", "from: 2026-12-01T00:00:00Z, grant: {m: 1}"),
            ("from: 2026-12-01T00:00:00Z, grant: {m: 1}", "until: 2026-12-01T00:00:00Z, grant: {m: 1}"),
        ],
    )
    def test_that_never_overlap_are_fine(self, first: str, second: str) -> None:
        """Other products or meters, a bonus once per customer, or one that ends where the other begins."""
        assert len(parse(both(first, second)).rules) == 2

    @pytest.mark.parametrize(
        ("paid", "created", "named"),
        [
            ("[subscription_create]", "[subscription.created]", "subscription_create"),
            ("[subscription_create]", "[subscription.created, trial_start]", "subscription_create"),
            ("[trial_start]", "[subscription.created]", "trial_start"),
            ("[trial_start]", "[subscription.created, trial_start]", "trial_start"),
            (
                "[trial_start, subscription_create]",
                "[trial_start, subscription.created]",
                "subscription_create",
            ),
        ],
    )
    def test_one_subscriptions_start_could_be_credited_twice(
        self, paid: str, created: str, named: str
    ) -> None:
        """By its first order, or its trial's, and by the subscription itself; in whichever order they are."""
        first = f"{{name: paid, triggers: {paid}, grant: {{m: 1}}}}"
        second = f"{{name: created, triggers: {created}, when: seats > 1, grant: {{m: 1}}}}"
        end = "keep one of them, or end one with `until` where the other begins with `from`"
        assert problems(file_of(first, second)) == [
            f"rules.yaml:5:3: rules[1]: rule 'paid' on line 4 credits {named}, this rule credits "
            f"subscription.created: both could credit one subscription's start to 'm'; {end} (rule created)"
        ]
        assert problems(file_of(second, first)) == [
            "rules.yaml:5:3: rules[1]: rule 'created' on line 4 credits subscription.created, this rule "
            f"credits {named}: both could credit one subscription's start to 'm'; {end} (rule paid)"
        ]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("[subscription_cycle]", "[subscription.created]"),
            ("[subscription.cycled]", "[subscription.created, trial_start]"),
            ("[purchase, subscription_update]", "[subscription.created]"),
            ("[subscription.created, trial_start]", "[subscription.created, trial_start]"),
            ("[subscription_create, trial_start]", "[subscription_create, trial_start]"),
        ],
    )
    def test_that_never_credit_one_start_twice_are_fine(self, first: str, second: str) -> None:
        """A renewal is no start, and rules that name the same trigger add up to one credit."""
        rules = parse(
            file_of(
                f"{{name: a, triggers: {first}, grant: {{m: 1}}}}",
                f"{{name: b, triggers: {second}, grant: {{m: 1}}}}",
            )
        )
        assert len(rules.rules) == 2

    def test_that_hand_over_starts_too_closely_are_warned_of_once(self) -> None:
        """A subscription's first order is created seconds after the subscription."""
        created = "{name: a, triggers: [subscription.created], until: 2026-12-01T00:00:00Z, grant: {m: 1}}"
        paid = (
            "{name: b, triggers: [subscription_create, trial_start], from: 2026-12-01T00:00:00Z, "
            "grant: {m: 1}}"
        )
        assert [str(one) for one in parse(file_of(created, paid)).warnings] == [
            "rules.yaml:5:3: rules[1]: this rule begins less than an hour after rule 'a' ends: "
            "a subscription that is created just before the switch and whose order is created just after "
            "could be credited by both; leave an hour between them (rule b)"
        ]

    @pytest.mark.parametrize(
        ("begins", "words"),
        [
            ("2026-12-01T00:00:00Z", 1),
            ("2026-12-01T00:59:59Z", 1),
            ("2026-12-01T01:00:00Z", 0),
            ("2026-11-30T00:00:00Z", None),
        ],
    )
    def test_that_follow_each_other_too_closely_are_warned_of(self, begins: str, words: int | None) -> None:
        """A renewal's order is created seconds after its period begins, so both could credit it."""
        rules = (
            "{name: begun, triggers: [subscription.cycled], until: 2026-12-01T00:00:00Z, grant: {m: 1}}",
            f"{{name: paid, triggers: [subscription_cycle], from: {begins}, grant: {{m: 1}}}}",
        )
        if words is None:
            assert "both could credit one billing cycle" in problems(file_of(*rules))[0]
        else:
            assert [str(one) for one in parse(file_of(*rules)).warnings] == [
                "rules.yaml:5:3: rules[1]: this rule begins less than an hour after rule 'begun' ends: "
                "a renewal whose period begins just before the switch and whose order is created just after "
                "could be credited by both; leave an hour between them (rule paid)"
            ][:words]

    def test_are_named_by_their_lines_where_a_name_cannot_be_read(self) -> None:
        """A rule without a readable name is still found by its line and index."""
        paid = "{triggers: [subscription_cycle], grant: {m: 1}}"
        begun = "{name: two words, triggers: [subscription.cycled], grant: {m: 1}}"

        *_, conflict = (line for line in problems(file_of(paid, begun)) if "both could credit" in line)
        assert conflict.startswith(
            "rules.yaml:5:3: rules[1]: the rule on line 4 credits subscription_cycle, this rule credits"
        )
        assert conflict.endswith("where the other begins with `from`")

    def test_say_which_trigger_is_a_default(self) -> None:
        """An author who omits `triggers` may not think of renewals."""
        begun = "{name: begun, triggers: [subscription.cycled], grant: {m: 1}}"
        (problem,) = problems(file_of("{name: usual, grant: {m: 1}}", begun))
        assert "rule 'usual' on line 4 credits subscription_cycle (by default), this rule credits" in problem

    def test_that_credit_by_one_trigger_are_fine(self) -> None:
        """The amounts of two rules for one event add up to one credit."""
        rule = "{name: NAME, triggers: [subscription.cycled, subscription_create], grant: {m: 1}}"

        assert len(parse(file_of(rule.replace("NAME", "a"), rule.replace("NAME", "b"))).rules) == 2

    def test_are_reported_once_for_each_meter(self) -> None:
        """A rule that conflicts with many others is reported once for each of its meters."""
        paid = [
            f"{{name: paid-{meter}-{i}, triggers: [subscription_cycle], grant: {{{meter}: 1}}}}"
            for i in range(3)
            for meter in ("m", "n")
        ]
        found = problems(
            file_of(*paid, "{name: begun, triggers: [subscription.cycled], grant: {m: 1, n: 1}}")
        )

        assert [line.partition(" credits")[0] for line in found] == [
            "rules.yaml:10:3: rules[6]: rule 'paid-m-0' on line 4",
            "rules.yaml:10:3: rules[6]: rule 'paid-n-0' on line 5",
        ]

    @pytest.mark.parametrize(
        "broken", ["from: soon,", "until: soon,", "products: [x],", "triggers: [x],", "from: 2026-12-01,"]
    )
    def test_are_not_reported_for_what_could_not_be_read(self, broken: str) -> None:
        """One mistake in a rule causes no conflict with its neighbours."""
        begun = f"{{name: begun, triggers: [subscription.cycled], {broken} grant: {{m: 1}}}}"
        if broken.startswith("triggers"):
            begun = f"{{name: begun, {broken} grant: {{m: 1}}}}"
        paid = "{name: paid, triggers: [subscription_cycle], grant: {m: 1}}"

        assert len(problems(file_of(paid, begun))) == 1
        assert len(problems(file_of(begun, paid))) == 1


moments = st.none() | st.integers(2, 5).map(lambda day: CREATED.replace(day=day))
cycle_rules = st.builds(
    Rule,
    name=st.just("a"),
    products=st.none() | st.frozensets(st.sampled_from(PRODUCTS[:3]), min_size=1),
    triggers=st.frozensets(
        st.sampled_from(
            [Trigger.SUBSCRIPTION_CYCLE, Trigger.PERIOD, Trigger.TRIAL_START, Trigger.SUBSCRIPTION]
        ),
        min_size=1,
    ),
    begins=moments,
    ends=moments,
    grant=st.dictionaries(st.sampled_from("mn"), st.just(1), min_size=1),
)


def credits_(rule: Rule, trigger: Trigger, product: str, day: int, meter: str) -> bool:
    """Return whether a rule credits a cycle or a start of ``product`` on a day, whatever its condition."""
    moment = CREATED.replace(day=day)
    extends = trigger is Trigger.TRIAL_START and Trigger.SUBSCRIPTION in rule.triggers
    is_for_it = (
        trigger in rule.triggers and not extends and (rule.products is None or product in rule.products)
    )
    begun = rule.begins is None or rule.begins <= moment
    return is_for_it and begun and (rule.ends is None or moment < rule.ends) and meter in rule.grant


class TestConflictsBetween:
    @given(cycle_rules, cycle_rules)
    def test_are_found_where_some_cycle_could_be_credited_by_both(self, one: Rule, other: Rule) -> None:
        """Two rules are refused if and only if there is a cycle that both could credit to a meter."""
        cycles = [(product, day, meter) for product in PRODUCTS[:3] for day in range(1, 7) for meter in "mn"]
        ways = [(Trigger.SUBSCRIPTION_CYCLE, Trigger.PERIOD), (Trigger.TRIAL_START, Trigger.SUBSCRIPTION)]
        ways += [(theirs, mine) for mine, theirs in ways]
        twice = any(
            credits_(one, mine, *cycle) and credits_(other, theirs, *cycle)
            for cycle in cycles
            for mine, theirs in ways
        )
        placed = [(one, Place(line=1, column=1)), (other, Place(line=2, column=1))]

        assert bool(list(conflicts_between(placed))) is twice
