"""The problems of a rules file: all are reported, each with its place and rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from config.rules import RulesError, parse_rules
from tests.support.rule_files import WHOLE, asking, file_of, granting, parse, problem, problems

CEL = " \n\t'\"`\\+-*/%=!<>&|?:.,()[]{}$#@09aesxé\x00\x1b\x85\ud800\u2028\U0001f600"
WORDS = [
    "order", "seats", ".net_amount", ".metadata", ".x", "has(", "int(", "timestamp(", "size(", "[0]", "['a']",
    "'a'", '"b', "1", "0.5", "0", "null", "true", " + ", " * ", " / ", " && ", " || ", " == ", " > ", " ? ",
    " : ", "!", "-", "(", ")", "\n", "//", ".exists(i, i > 1)", "999999999999999",
]  # fmt: skip


class TestEveryProblem:
    def test_reads_as_a_line_that_can_be_jumped_to(self) -> None:
        """A problem is one line: file, line, column, path, what is wrong, a suggestion, and the rule."""
        text = WHOLE.replace("      api_usage: 10", "      api_usge: 10")

        with pytest.raises(ConfigError) as caught:
            parse_rules(text, "config/rules.yaml")

        assert str(caught.value) == (
            "config/rules.yaml:14:7: rules[0].grant.api_usge: "
            "unknown meter 'api_usge'; did you mean 'api_usage'? (rule starter-pack)"
        )

    def test_is_reported_in_the_order_of_the_file(self) -> None:
        """All problems are reported at once: those of keys, of values and of missing keys."""
        assert problems("""\
            rules:
              - name: a b
                grant: {m: 0, n: 1}
              - triger: [purchase]
                grant: {}
              - starter
            meters:
              m: {property: order_id}
            credit_from: 2026-11-01
            verson: 1
            """) == [
            "rules.yaml:1:1: missing key 'version'",
            "rules.yaml:2:11: rules[0].name: "
            "expected 1 to 64 of the characters A-Z a-z 0-9 . _ -, found the text 'a b'",
            "rules.yaml:3:16: rules[0].grant.m: expected more than 0, found the number '0'",
            "rules.yaml:3:19: rules[0].grant.n: unknown meter 'n'; declare it under `meters` (declared: 'm')",
            "rules.yaml:4:5: rules[1]: missing key 'name'",
            "rules.yaml:4:5: rules[1].triger: unknown key 'triger'; did you mean 'triggers'?",
            "rules.yaml:5:12: rules[1].grant: grants nothing; name a meter and an amount",
            "rules.yaml:6:5: rules[2]: expected a mapping with the keys "
            "name, products, triggers, when, once_per, on_refund, on_dispute, from, until, every, grant, "
            "found the text 'starter'",
            "rules.yaml:8:17: meters.m.property: 'order_id' is reserved: the service itself writes "
            "granted_by, key, order_id, rules, reason",
            "rules.yaml:9:14: credit_from: a date alone is ambiguous; "
            "add a time and a zone, as in 2026-11-01T00:00:00Z",
            "rules.yaml:10:1: verson: unknown key 'verson'; did you mean 'version'?",
        ]

    def test_names_its_rule_where_the_name_can_be_read(self) -> None:
        """An index is hard to count in a long file; a missing or unreadable name leaves the index alone."""
        assert [
            line.partition(": ")[2]
            for line in problems("""\
            version: 1
            rules:
              - {name: team-plan, name: other, grant: {}}
              - {grant: {}}
              - {name: two words, grant: {}}
              - {name: [team-plan], grant: {}}
              - {name: 2026, grant: {}}
              - team-plan
              - {grant: {}, name: pro}
            """)
        ] == [
            "rules[0].name: duplicate key 'name'; it first appears on line 3 (rule team-plan)",
            "rules[0].grant: grants nothing; name a meter and an amount (rule team-plan)",
            "rules[1]: missing key 'name'",
            "rules[1].grant: grants nothing; name a meter and an amount",
            "rules[2].name: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -, found the text 'two words'",
            "rules[2].grant: grants nothing; name a meter and an amount",
            "rules[3].name: expected a name, found a list",
            "rules[3].grant: grants nothing; name a meter and an amount",
            "rules[4].name: YAML reads this as a number; quote it: '2026'",
            "rules[4].grant: grants nothing; name a meter and an amount",
            "rules[5]: expected a mapping with the keys name, products, triggers, when, once_per, on_refund, "
            "on_dispute, from, until, every, grant, found the text 'team-plan'",
            "rules[6].grant: grants nothing; name a meter and an amount (rule pro)",
        ]

    def test_names_both_rules_of_one_name(self) -> None:
        """The index tells them apart, and the line of the first is in the message."""
        rule = "{name: pack, grant: {m: 1}}"

        assert problems(file_of(rule, rule)) == [
            "rules.yaml:5:10: rules[1].name: "
            "duplicate rule name 'pack'; it first appears on line 4 (rule pack)"
        ]

    def test_has_its_parts_for_machines(self) -> None:
        """An error has the place of each problem as values."""
        with pytest.raises(RulesError) as caught:
            parse("version: 2\nrules: []\n")

        (only,) = caught.value.problems
        assert (only.file, only.line, only.column, only.path) == ("rules.yaml", 1, 10, "version")
        assert only.rule == ""

    @given(st.text(alphabet=" \n\t-:[]{},&*<!'\"|>#%@~=ab01.\x85\ufeff\u2028\\U", max_size=60))
    def test_is_an_error_of_ours_whatever_the_file_says(self, text: str) -> None:
        """Any text gives either rules or a list of well-formed problems."""
        assert_rules_or_problems(text)

    @given(
        st.integers(0, len(WHOLE)),
        st.integers(0, 12),
        st.text(alphabet=" \n-:[]{}&*<'\"~10", max_size=3),
    )
    def test_is_found_in_a_file_that_was_damaged(self, at: int, cut: int, put: str) -> None:
        """A file with a typing error gives either rules or well-formed problems."""
        assert_rules_or_problems(WHOLE[:at] + put + WHOLE[at + cut :])

    @given(st.text(alphabet=CEL, max_size=40) | st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
    def test_is_found_in_any_expression(self, text: str) -> None:
        """Whatever text is in the place of an expression, the file is usable or each problem is one line."""
        for rule in (granting(text), asking(text)):
            assert_rules_or_problems(file_of(rule))


def rules_error(text: str) -> RulesError | None:
    try:
        parse_rules(text, "rules.yaml")
    except RulesError as error:
        return error
    return None


def assert_rules_or_problems(text: str) -> None:
    error = rules_error(text)
    if error is not None:
        lines = str(error).split("\n")
        assert len(lines) == len(error.problems) >= 1
        assert all(line.startswith("rules.yaml:") and line.isprintable() for line in lines)
        assert all(one.line >= 1 and one.column >= 1 for one in error.problems)


class TestTheShapeOfTheFile:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "1:1: the file is empty; begin it with version: 1"),
            ("# only a comment\n", "1:1: the file is empty; begin it with version: 1"),
            ("- a\n", "1:1: expected a mapping with the keys version, credit_from, meters, rules"),
            ("version: 1\nrules: []\n---\na: 1\n", "3:1: a second document begins here"),
            ("version: 1\nrules:\n\t- name: a\n", "3:1: a tab is not allowed here; use spaces"),
            ("version: 1\nrules: [\x07]\n", "2:9: a control character is not allowed here"),
            ("version: 1\nrules: [a\n", "3:1: not valid YAML: expected ',' or ']'"),
            ("version: 1\nrules: *gone\n", "2:8: not valid YAML: found undefined alias 'gone'"),
            ('version: 1\nrules: "\\UFFFFFFFF"\n', "not valid YAML: a number here is out of range"),
            ("%YAML 3.0\n---\na: 1\n", "1:1: not valid YAML: found incompatible YAML document"),
            ("version: 1\nrules: !mine []\n", "2:8: rules: the tag '!mine' has no meaning here"),
            ("version: 1\nrules: []\n? [a]\n: 1\n", "3:3: a key must be a text"),
            ("version: 1\nrules: {}\n", "2:8: rules: expected a list of rules, found a mapping"),
            ("version: 1\nrules:\n", "2:7: rules: expected a list of rules, found nothing"),
            ("version: 1\n", "1:1: missing key 'rules'"),
            ("version: 2\nrules: []\n", "1:10: version: expected the number 1, found the number"),
            ("version: '1'\nrules: []\n", "1:10: version: expected the number 1, found the text"),
            (
                "version: 1\nrules: []\nversion: 1\n",
                "3:1: version: duplicate key 'version'; it first appears",
            ),
            ("version: 1\nrules: []\n1 2: 3\n", "3:1: ['1 2']: unknown key '1 2'; the keys here"),
            ("version: 1\nrules: []\n" + "#" * 10**6, "1:1: longer than 1,000,000 characters"),
        ],
    )
    def test_is_explained_where_it_is_wrong(self, text: str, message: str) -> None:
        """A file that cannot be read, or not completely, gives one clear line."""
        assert message in problem(text)

    @pytest.mark.parametrize("deep", ["[" * 5000, "a: {" * 5000, "- " * 5000])
    def test_may_not_nest_too_deeply(self, deep: str) -> None:
        """Deep nesting is refused long before it exhausts the stack."""
        assert problem(deep).endswith("nested more than 20 levels deep")

    def test_names_the_line_of_a_duplicate_key(self) -> None:
        """The second of two equal keys is the problem, and the message gives the line of the first."""
        assert problem(WHOLE + "    name: again\n") == (
            "16:5: rules[0].name: duplicate key 'name'; it first appears on line 10"
        )
