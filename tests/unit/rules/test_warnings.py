"""The warnings of a rules file: likely mistakes that leave it usable."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from config.cel.expressions import compile_expression
from config.cel.references import Reference
from config.rules import Rule, parse_rules
from config.rules.vocabulary import _CURRENCIES, _VALUES, find_foreign_constants
from config.rules.warnings import find_warnings
from tests.support.builders import fact_like
from tests.support.recordings import PAYLOADS
from tests.support.rule_files import PRODUCT, asking, file_of, granting, parse, warnings

CUSTOMER = "triggers: [customer.created]"

REAL = sorted(
    path.stem
    for kind in ("order_paid", "subscription_cycled", "customer_created")
    for path in PAYLOADS.glob(f"{kind}*.json")
    if ".headers" not in path.name and "final_invoice" not in path.name
)


def texts(text: str, value: Any) -> Iterator[str]:
    """Yield a field and all below it as expressions name them."""
    yield text
    for key, each in value.items() if isinstance(value, dict) else ():
        yield from texts(f'{text}["{key}"]', each)


class TestWarnings:
    @pytest.mark.parametrize(
        ("text", "triggers", "said"),
        [
            (
                "order.net_ammount",
                "triggers: [purchase]",
                "no purchase that Polar sends has order.net_ammount; did you mean order.net_amount?",
            ),
            (
                "subscription.seat * 5",
                "triggers: [subscription_create, subscription_cycle]",
                "no subscription_create or subscription_cycle that Polar sends has subscription.seat; "
                "did you mean subscription.seats?",
            ),
            (
                "order.customer.e_mail == 'x' ? 1 : 2",
                "triggers: [purchase]",
                "no purchase that Polar sends has order.customer.e_mail; did you mean order.customer.email?",
            ),
            ("order.xyz.abc", "triggers: [purchase]", "no purchase that Polar sends has order.xyz"),
            (
                "order.net_amount.abc",
                "triggers: [purchase]",
                "no purchase that Polar sends has order.net_amount.abc",
            ),
            ("customer.shoe_size", CUSTOMER, "no customer.created that Polar sends has customer.shoe_size"),
        ],
    )
    def test_name_fields_that_no_webhook_has(self, text: str, triggers: str, said: str) -> None:
        """Polar may add fields at any time, so an unknown field is only a warning."""
        assert warnings(granting(text, triggers)) == [said]

    @pytest.mark.parametrize(
        "text",
        [
            "order.net_amount",
            "has(order.metadata.anything) ? order.metadata.anything : 0",
            "has(order.custom_field_data.size) ? order.custom_field_data.size : 0",
            "has(order.tip) ? order.tip : 0",
            "has(order.tip) ? order.tip.cents : 0",
            "order.discount.code == 'x' ? 1 : 2",
            "order.product_price.seat_tiers",
            "order.billing_address.country == 'DE' ? 1 : 2",
            "order.items.exists(i, i.label == 'x') ? 1 : 2",
            "size('order.nothing') + seats",
        ],
    )
    def test_do_not_name_fields_that_may_be_there(self, text: str) -> None:
        """Free-form fields, nulls that may be objects, prices of other kinds, fields that has(...) checks."""
        assert warnings(granting(text)) == []

    @pytest.mark.parametrize("name", REAL)
    def test_do_not_name_any_field_that_was_ever_sent(self, name: str) -> None:
        """Each field of each real webhook can be named without a warning."""
        fact = fact_like(name)
        assert fact.trigger is not None
        rule = Rule(name="a", triggers=frozenset({fact.trigger}), grant={})
        fields = [text for key, value in fact.variables.values.items() if value for text in texts(key, value)]

        assert len(fields) > 15
        found = [warning for text in fields for warning in find_warnings(compile_expression(text), rule)]
        assert [warning for warning in found if "that Polar sends has" in warning] == []

    @pytest.mark.parametrize(
        ("text", "triggers", "on"),
        [
            ("order.net_amount", "triggers: [purchase, customer.created]", ["customer.created"]),
            ("order.net_amount", "triggers: [purchase, subscription.cycled]", ["subscription.cycled"]),
            ("subscription.amount", "triggers: [subscription_cycle, customer.created]", ["customer.created"]),
            ("subscription.amount", "triggers: [purchase, subscription_cycle]", ["purchase"]),
            ("order == null ? 5 : order.net_amount", "triggers: [purchase, customer.created]", []),
            (
                "order.net_amount",
                "triggers: [purchase, customer.created], when: order.net_amount > 5",
                [],
            ),
            (
                "order.net_amount",
                "triggers: [purchase, customer.created], when: seats > 0",
                ["customer.created"],
            ),
        ],
    )
    def test_name_triggers_for_which_the_amount_always_fails(
        self, text: str, triggers: str, on: list[str]
    ) -> None:
        """An amount that uses the order fails for a new customer, unless the condition excludes customers."""
        assert warnings(granting(text, triggers)) == [
            f"this amount cannot be computed on a {trigger}: "
            "each of these deliveries would fail; give that trigger a rule of its own"
            for trigger in on
        ]

    @pytest.mark.parametrize(
        ("text", "keys", "said"),
        [
            (
                "order.seats * 10",
                "",
                ["order.seats is null on many orders, and their deliveries would fail; write seats instead"],
            ),
            (
                "subscription.units",
                "triggers: [subscription_cycle]",
                [
                    "subscription.units is null on many orders, and their deliveries would fail; "
                    "write units instead"
                ],
            ),
            ("order.seats * 10", "when: order.seats != null", []),
            (
                "int(order.metadata.n)",
                "",
                ["a webhook without order.metadata.n fails; guard it with `when: has(order.metadata.n)`"],
            ),
            (
                "int(order.metadata['n'])",
                "",
                ["a webhook without order.metadata['n'] fails; guard it with `when`"],
            ),
            ("int(order.metadata.n)", "when: has(order.metadata.n)", []),
            ("int(order.metadata.n)", "when: order.metadata.n != ''", []),
            ("size(order.metadata)", "", []),
        ],
    )
    def test_name_fields_that_are_often_missing(self, text: str, keys: str, said: list[str]) -> None:
        """There is no warning if the amount or the condition checks for the field."""
        assert warnings(granting(text, *filter(None, [keys]))) == said

    def test_have_their_place_and_refuse_nothing(self) -> None:
        """A file with warnings is usable; each warning has its line and rule, in the order of the file."""
        rules = parse("""\
            version: 1
            meters: {m: {}}
            rules:
              - name: a
                when: order.cash > 5
                grant: {m: "order.net_ammount"}
            """)

        assert len(rules.rules) == 1
        assert {one.rule for one in rules.warnings} == {"a"}
        assert [str(one).partition(" that ")[0] for one in rules.warnings] == [
            "rules.yaml:5:11: rules[0].when: no purchase or subscription_create or subscription_cycle",
            "rules.yaml:6:16: rules[0].grant.m: no purchase or subscription_create or subscription_cycle",
        ]


REASONS = "purchase, subscription_create, subscription_cycle, subscription_update, subscription_meter_cycle"
SMALL = 'Polar writes currencies as three small letters, such as "usd"'


class TestConstantsThatPolarNeverSends:
    @pytest.mark.parametrize(
        ("condition", "said"),
        [
            ('order.currency == "USD"', [f"order.currency is never 'USD': {SMALL}"]),
            ("'USD' == order.currency", [f"order.currency is never 'USD': {SMALL}"]),
            ('order.currency != "US Dollar"', [f"order.currency is never 'US Dollar': {SMALL}"]),
            ('order.currency in ["usd", "EUR"]', [f"order.currency is never 'EUR': {SMALL}"]),
            (
                'seats > 1 && order.billing_reason == "renewal"',
                [f"order.billing_reason is never 'renewal': Polar's values are {REASONS}"],
            ),
            (
                'order.subscription.recurring_interval == "monthly"',
                [
                    "order.subscription.recurring_interval is never 'monthly': "
                    "Polar's values are day, week, month, year"
                ],
            ),
        ],
    )
    def test_are_named(self, condition: str, said: list[str]) -> None:
        """Such a condition is never true, or always."""
        assert warnings(asking(condition)) == said

    @pytest.mark.parametrize(
        "condition",
        [
            'order.currency == "usd"',
            'order.currency in ["usd", "eur"]',
            'order.billing_reason == "subscription_cycle"',
            'subscription.status == "trialing"',
            'product.name == "USD"',
            "product.name == 'order.currency == \"USD\"'",
            'order.currency.startsWith("US")',
            'has(order.metadata.currency) && order.metadata.currency == "USD"',
        ],
    )
    def test_are_not_seen_in_others(self, condition: str) -> None:
        """Known values, other fields, and texts that merely look like a comparison."""
        assert warnings(asking(condition, "triggers: [subscription_create]")) == []

    @pytest.mark.parametrize("name", REAL)
    def test_are_none_that_was_ever_sent(self, name: str) -> None:
        """Every value that a recorded webhook has can be compared with."""
        variables = fact_like(name).variables
        for keys in [*_VALUES, *_CURRENCIES]:
            value = variables.at(Reference(".".join(keys), keys))
            if isinstance(value, str):
                assert (
                    list(find_foreign_constants(compile_expression(f'{".".join(keys)} == "{value}"'))) == []
                )


NOW = datetime(2026, 11, 21, tzinfo=UTC)


class TestWindows:
    @pytest.mark.parametrize(
        ("window", "said"),
        [
            (
                "until: 2026-11-21T00:00:00Z",
                ["this time is in the past: the rule credits only what was created before it"],
            ),
            ("until: 2026-11-21T00:00:01Z", []),
            ("from: 2026-01-01T00:00:00Z", []),
            ("from: 2062-01-01T00:00:00Z", ["this time is more than five years away: is the year right?"]),
            ("until: 2062-01-01T00:00:00Z", ["this time is more than five years away: is the year right?"]),
            ("from: 2026-12-01T00:00:00Z, until: 2027-01-01T00:00:00Z", []),
        ],
    )
    def test_that_are_over_or_far_away_are_named(self, window: str, said: list[str]) -> None:
        """A rule that is over is often a mistyped year."""
        rules = parse_rules(file_of(f"{{name: a, {window}, grant: {{m: 1}}}}"), "rules.yaml", now=NOW)
        assert [one.message for one in rules.warnings] == said

    def test_are_only_looked_at_when_the_time_is_known(self) -> None:
        """Recorded webhooks are judged by rules of their time."""
        assert warnings("{name: a, until: 2020-01-01T00:00:00Z, grant: {m: 1}}") == []


class TestRulesForEveryProduct:
    PACK = f"{{name: pack, products: [{PRODUCT}], grant: {{m: 1, n: 1}}}}"

    def test_that_add_to_a_products_own_rule_are_named(self) -> None:
        """The author may have meant all other products."""
        found = parse(file_of(self.PACK, "{name: all, grant: {m: 1}}")).warnings
        assert [str(one) for one in found] == [
            "rules.yaml:5:3: rules[1]: this rule has no `products`, so it also credits 'm' for the products "
            "of 'pack', and the amounts add up; name its products if that is not meant (rule all)"
        ]

    @pytest.mark.parametrize(
        "other",
        [
            "{name: all, once_per: customer, grant: {m: 1}}",
            "{name: all, triggers: [customer.created], grant: {m: 1}}",
            "{name: all, triggers: [subscription_update], grant: {m: 1}}",
            f"{{name: all, products: [{PRODUCT}], grant: {{m: 1}}}}",
        ],
    )
    def test_that_credit_something_else_are_fine(self, other: str) -> None:
        """A bonus once per customer, or another trigger, is meant to add up."""
        assert parse(file_of(self.PACK, other)).warnings == ()
