"""Lists, words and times in a rules file."""

from datetime import UTC, datetime

import pytest

from config.rules import Trigger
from tests.support.rule_files import PRODUCT, one_rule, parse, problem, problems, rule_problem


class TestListsInARule:
    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ("products: []", "the list is empty; omit `products` to mean every product"),
            ("products: abc", "expected a list of products, found the text 'abc'"),
            ("products: [abc]", "expected a product's id, such as"),
            ("products: [12345678]", "expected a product's id, such as"),
            ("products: [99130a7b_29f640039a8121b0361c718]", "expected a product's id, such as"),
            (f"products: [{PRODUCT}, '{{{PRODUCT}}}']", f"duplicate product '{PRODUCT}'"),
            (f"products: [{PRODUCT}, {PRODUCT.upper()}]", f"duplicate product '{PRODUCT}'"),
            ("triggers: []", "omit `triggers` to mean purchase, subscription_create, subscription"),
            ("triggers: purchase", "expected a list of triggers, found the text 'purchase'"),
            ("triggers: [purchased]", "unknown trigger 'purchased'; did you mean 'purchase'?"),
            ("triggers: [xyz]", "unknown trigger 'xyz'; the triggers are purchase, subscription_"),
            ("triggers: [[]]", "expected a trigger, found a list"),
            ("triggers: [purchase, purchase]", "duplicate trigger 'purchase'; it first appears on line 4"),
        ],
    )
    def test_are_sets_of_what_exists(self, rule: str, message: str) -> None:
        """Products and triggers are lists of valid values, neither empty nor with duplicates."""
        assert message in rule_problem(f"{{name: a, {rule}, grant: {{m: 1}}}}")

    @pytest.mark.parametrize("trigger", Trigger)
    def test_may_name_every_trigger(self, trigger: Trigger) -> None:
        """Every trigger is valid in a rule."""
        rule = one_rule(f"{{name: a, triggers: [{trigger}], grant: {{m: 1}}}}")

        assert rule.triggers == {trigger}


class TestWordsInARule:
    def test_say_once_and_what_refunds_do(self) -> None:
        """Omitted, once_per means each time and on_refund means keep."""
        once = one_rule("{name: a, once_per: customer, on_refund: keep, grant: {m: 1}}")
        revoking = one_rule("{name: a, on_refund: revoke, grant: {m: 1}}")
        usual = one_rule("{name: a, grant: {m: 1}}")

        assert (once.once_per_customer, once.revokes) == (True, False)
        assert (revoking.once_per_customer, revoking.revokes) == (False, True)
        assert (usual.once_per_customer, usual.revokes) == (False, False)

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("once_per: custmer", "rules[0].once_per: unknown word 'custmer'; did you mean 'customer'?"),
            ("once_per: order", "rules[0].once_per: unknown word 'order'; it can only be customer"),
            ("once_per: true", "rules[0].once_per: unknown word 'true'; it can only be customer"),
            ("once_per:", "rules[0].once_per: expected customer, found nothing"),
            ("once_per: [customer]", "rules[0].once_per: expected customer, found a list"),
            ("on_refund: revok", "rules[0].on_refund: unknown word 'revok'; did you mean 'revoke'?"),
            ("on_refund: take", "rules[0].on_refund: unknown word 'take'; it can be keep or revoke"),
            ("on_refund: null", "rules[0].on_refund: expected keep or revoke, found nothing"),
            ("on_refund: {}", "rules[0].on_refund: expected keep or revoke, found a mapping"),
            ("on_dispute: revok", "rules[0].on_dispute: unknown word 'revok'; did you mean 'revoke'?"),
            ("on_dispute: null", "rules[0].on_dispute: expected keep or revoke, found nothing"),
        ],
    )
    def test_that_are_unknown_are_refused(self, key: str, message: str) -> None:
        """Any other word is a problem, and the message lists the valid ones."""
        assert rule_problem(f"{{name: a, {key}, grant: {{m: 1}}}}").endswith(message)


class TestTheTimeOfARule:
    def test_begins_with_from_and_ends_before_until(self) -> None:
        """Both are times in UTC; a rule without them always applies."""
        rule = one_rule(
            "{name: a, from: 2026-12-01T00:00:00+01:00, until: '2027-01-01 00:00Z', grant: {m: 1}}"
        )
        usual = one_rule("{name: a, grant: {m: 1}}")

        assert rule.begins == datetime(2026, 11, 30, 23, tzinfo=UTC)
        assert rule.ends == datetime(2027, 1, 1, tzinfo=UTC)
        assert (usual.begins, usual.ends) == (None, None)

    @pytest.mark.parametrize("until", ["2026-12-01T00:00:00Z", "2026-11-30T23:59:59Z"])
    def test_is_no_time_at_all_unless_until_is_later(self, until: str) -> None:
        """A rule that would end before it begins is a problem at its `until`."""
        assert rule_problem(
            f"{{name: a, from: 2026-12-01T00:00:00Z, until: {until}, grant: {{m: 1}}}}"
        ).endswith("rules[0].until: `until` is not after `from`: it would never apply")

    def test_is_given_in_moments(self) -> None:
        """An unreadable bound is one problem; the other bound is not compared with it."""
        found = problems("""\
            version: 1
            meters: {m: {}}
            rules:
              - {name: a, from: 2026-12-01, until: 2026-11-01T00:00:00Z, grant: {m: 1}}
              - {name: b, from: 2026-12-01T00:00:00Z, until: soon, grant: {m: 1}}
            """)

        assert found == [
            "rules.yaml:4:21: rules[0].from: a date alone is ambiguous; "
            "add a time and a zone, as in 2026-12-01T00:00:00Z (rule a)",
            "rules.yaml:5:50: rules[1].until: "
            "expected a time such as 2026-11-01T00:00:00Z, found the text 'soon' (rule b)",
        ]


class TestCreditFrom:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-11-01T00:00:00Z",
            "'2026-11-01T00:00:00Z'",
            "2026-11-01 00:00:00.000Z",
            "2026-11-01T02:00:00+02:00",
            "2026-11-01t00:00z",
        ],
    )
    def test_is_a_moment_quoted_or_not(self, text: str) -> None:
        """Every common notation for a time gives the same time in UTC."""
        moment = parse(f"version: 1\nrules: []\ncredit_from: {text}\n").credit_from

        assert moment == datetime(2026, 11, 1, tzinfo=UTC)
        assert moment.tzinfo is UTC

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("2026-11-01", "a date alone is ambiguous; add a time and a zone, as in 2026-11-01T00:00:00Z"),
            ("2026-11-01T00:00:00", "has no time zone; add Z for UTC, as in 2026-11-01T00:00:00Z"),
            ("2026-11-01 00:00:00", "has no time zone; add Z for UTC"),
            ("2026-13-01T00:00:00Z", "there is no such time as '2026-13-01T00:00:00Z'"),
            ("0001-01-01T00:00:00+01:00", "there is no such time as"),
            ("tomorrow", "expected a time such as 2026-11-01T00:00:00Z, found the text 'tomorrow'"),
            ("1793491200", "expected a time such as 2026-11-01T00:00:00Z, found the number"),
            ("null", "expected a time such as 2026-11-01T00:00:00Z, found nothing"),
            ("[]", "expected a time such as 2026-11-01T00:00:00Z, found a list"),
        ],
    )
    def test_is_refused_where_it_names_no_moment(self, text: str, message: str) -> None:
        """A time without a zone would mean a different time on every machine."""
        assert message in problem(f"version: 1\nrules: []\ncredit_from: {text}\n")
