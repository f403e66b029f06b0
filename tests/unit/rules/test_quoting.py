"""Expressions that YAML misreads unless they are quoted."""

import pytest

from tests.support.rule_files import file_of, parse, problem, problems, rule_problem


class TestExpressions:
    @pytest.mark.parametrize(
        "when",
        [
            '"launch" == order.metadata.campaign',
            "order.paid ? true : false",
            "!order.paid && seats > 1",
            "!(seats > 1)",
            "[1, 2].exists(i, i == seats)",
            "{1: true}[seats]",
            "*seats",
            "@seats",
            "> seats",
            "order.paid &&\n    seats > 1",
        ],
    )
    def test_are_told_to_be_quoted(self, when: str) -> None:
        """YAML's own message is shown, with the advice that most likely helps."""
        found = rule_problem(f"name: a\n  when: {when}\n  grant: {{m: 1}}".replace("\n    seats", "\nseats"))

        assert "not valid YAML" in found
        assert found.endswith("; if this is an expression, quote all of it")

    @pytest.mark.parametrize("keys", ["when: order.items[0].amount > 5", "when: order.currency in ['usd']"])
    def test_are_told_to_be_quoted_within_braces(self, keys: str) -> None:
        """Within braces YAML reads brackets and commas itself."""
        assert rule_problem(f"{{name: a, {keys}, grant: {{m: 1}}}}").endswith("quote all of it")

    def test_are_not_suspected_elsewhere(self) -> None:
        """Other mistakes in YAML are reported without advice about expressions."""
        assert problem("version: 1\nrules: [a\n").endswith("(while parsing a flow sequence, from line 2)")

    @pytest.mark.parametrize(
        "when", ["!order.paid", "!has(order.metadata.x)", "! order.paid", "! has(order.x)"]
    )
    def test_are_never_read_without_their_not(self, when: str) -> None:
        """YAML reads a ! as a tag and drops it, which would invert the condition."""
        first, *_ = problems(file_of(f"name: a\n  when: {when}\n  grant: {{m: 1}}"))

        assert first == (
            f"rules.yaml:5:9: rules[0].when: the tag '{when.partition(' ')[0]}' has no meaning here; "
            "remove it, or quote the whole expression if it begins with ! (rule a)"
        )

    def test_are_read_where_they_are_quoted(self) -> None:
        """CEL gets a ! that is in quotes."""
        (rule,) = parse(file_of("name: a\n  when: '!order.paid'\n  grant: {m: 1}")).rules

        assert rule.when is not None
        assert rule.when.whole.text == "!order.paid"
