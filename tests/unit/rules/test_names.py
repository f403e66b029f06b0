"""The names of rules, meters and properties."""

import pytest

from tests.support.rule_files import WHOLE, one_rule, parse, problem, rule_problem


class TestNames:
    @pytest.mark.parametrize(("name", "kind"), [("123", "number"), ("on", "boolean"), ("2026-11-01", "time")])
    def test_that_yaml_takes_for_something_else_need_quotes(self, name: str, kind: str) -> None:
        """YAML does not read on, 123 and dates as texts; the message says to quote them."""
        assert rule_problem(f"{{name: {name}, grant: {{m: 1}}}}") == (
            f"4:10: rules[0].name: YAML reads this as a {kind}; quote it: '{name}'"
        )
        assert one_rule(f"{{name: '{name}', grant: {{m: 1}}}}").name == name

    @pytest.mark.parametrize("name", ["", "a" * 65, "a b", "ä", "a/b", "a\\nb"])
    def test_of_rules_are_plain(self, name: str) -> None:
        """A rule's name ends up in keys and commands: 1 to 64 plain characters."""
        assert "expected 1 to 64 of the characters" in rule_problem(f'{{name: "{name}", grant: {{m: 1}}}}')

    def test_of_rules_are_unique(self) -> None:
        """The second rule of a name is the problem, and the message gives the line of the first."""
        assert problem(WHOLE + "  - {name: starter-pack, grant: {api_usage: 1}}\n") == (
            "16:12: rules[1].name: duplicate rule name 'starter-pack'; it first appears on line 10"
        )

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("''", "a meter's name of 1 to 128 characters"),
            ("x" * 129, "a meter's name of 1 to 128 characters"),
            ('"a\\x00b"', "a meter's name without control characters"),
            ('"a\\nb"', "a meter's name without control characters"),
            ('"\\ud800"', "a meter's name without control characters"),
            ("1.5", "YAML reads this as a number; quote it: '1.5'"),
            ("no", "YAML reads this as a boolean; quote it: 'no'"),
        ],
    )
    def test_of_meters_are_what_polar_takes(self, name: str, message: str) -> None:
        """A meter's name is an event's name: 1 to 128 characters that can be stored."""
        assert message in problem(f"version: 1\nmeters: {{{name}: {{}}}}\nrules: []\n")

    def test_of_meters_may_be_any_other_text(self) -> None:
        """Blanks, dots and letters of any script are fine."""
        rules = parse("version: 1\nmeters: {api.usage v2: {}, 'größe': {}}\nrules: []\n")

        assert list(rules.meters) == ["api.usage v2", "größe"]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("x" * 41, "a property's name of 1 to 40 characters"),
            ("''", "a property's name of 1 to 40 characters"),
            ("5", "YAML reads this as a number; quote it"),
            ("null", "expected a property's name, found nothing"),
            *((name, "is reserved: the service itself writes") for name in ("granted_by", "key")),
            *((name, "is reserved: the service itself writes") for name in ("rules", "reason")),
        ],
    )
    def test_of_properties_leave_the_service_its_own(self, name: str, message: str) -> None:
        """A property is a key of a usage event's metadata, in which the service writes some keys itself."""
        text = f"version: 1\nmeters: {{m: {{property: {name}}}}}\nrules: []\n"

        assert message in problem(text)


class TestMeters:
    def test_that_cannot_be_read_are_the_only_problem(self) -> None:
        """Grants are not checked against meters that could not be read."""
        assert problem("version: 1\nmeters: []\nrules: [{name: a, grant: {m: 1}}]\n") == (
            "2:9: meters: expected a mapping from each meter's name to its settings, found a list"
        )

    def test_must_be_declared(self) -> None:
        """If no meter resembles the unknown one, the message lists those declared."""
        assert problem("version: 1\nrules: [{name: a, grant: {m: 1}}]\n").endswith(
            "unknown meter 'm'; declare it under `meters` (declared: none)"
        )

    def test_with_a_mistake_still_count_as_declared(self) -> None:
        """A mistake in a meter causes no further problem in the rules that grant it."""
        text = "version: 1\nmeters: {m: 5}\nrules: [{name: a, grant: {m: 1}}]\n"

        assert problem(text).endswith("expected a mapping with the keys property, found the number '5'")
