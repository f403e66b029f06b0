"""YAML's aliases and merges: how they are expanded, and the limits on that."""

import pytest

from config.rules import Trigger
from tests.support.rule_files import parse, problem, problems


class TestAliases:
    def test_and_merges_are_expanded(self) -> None:
        """An alias repeats a value, a merge adds missing keys, and the keys written out win."""
        rules = parse("""\
            version: 1
            meters: {a: {}, b: {}, c: {}}
            rules:
              - &first
                name: one
                triggers: &triggers [purchase]
                grant: &grant {a: 1, b: 2}
              - {name: two, triggers: *triggers, grant: {b: 3, <<: *grant}}
              - {<<: [{grant: {c: 9}}, *first], name: three}
            """).rules

        assert [rule.grant for rule in rules] == [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"c": 9}]
        assert {rule.triggers for rule in rules} == {frozenset({Trigger.PURCHASE})}

    def test_repeat_no_problem(self) -> None:
        """A mistake is reported once, at its text, however often aliases repeat it."""
        assert problems("""\
            version: 1
            meters: {m: {}}
            rules:
              - {name: one, grant: &grant {m: []}}
              - {name: two, grant: *grant}
              - {name: three, grant: {<<: *grant}}
            """) == [
            "rules.yaml:4:35: rules[0].grant.m: expected a number or an expression, found a list (rule one)"
        ]

    @pytest.mark.parametrize(
        "text", ["&all [*all]", "a: &all {<<: *all}", "a: &all {b: {c: [*all]}}", "a: &all {<<: [*all]}"]
    )
    def test_that_contain_themselves_are_refused(self, text: str) -> None:
        """A value that contains itself could never be expanded."""
        assert "this alias refers to a value that contains it; write the value out" in problem(text)

    def test_that_multiply_are_refused(self) -> None:
        """The billion laughs attack: nine lines that expand to a billion values."""
        lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

        assert problem("\n".join(lines)).endswith(
            "with its aliases expanded, the file has over 100,000 values"
        )

    def test_that_multiply_by_merging_are_refused(self) -> None:
        """Merges of merges are limited too, although few keys remain in the end."""
        lines = ["a0: &a0 {x: 1}"]
        lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 9)]

        assert "with its aliases expanded, the file has over" in problem("\n".join(lines))

    def test_in_long_chains_are_refused(self) -> None:
        """A chain of aliases is nested too, although no single line is."""
        lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 2000))]

        assert problem("\n".join(lines)).endswith("nested more than 20 levels deep")

    def test_can_merge_mappings_only(self) -> None:
        """A merge of anything else is a problem at the merged value."""
        assert problem("version: 1\nrules: []\n<<: 5\n") == (
            "3:5: << merges a mapping, or a list of mappings"
        )
