"""The rules file: what is read from it, and what a user is told of each mistake in it."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import ConfigError
from config.rules import (
    DEFAULT_TRIGGERS,
    Meter,
    Rule,
    Rules,
    RulesError,
    Trigger,
    load_rules,
    parse_rules,
)

EXAMPLE = Path(__file__).parents[2] / "config" / "rules.yaml"
unhurried = settings(deadline=None)  # a busy machine is no mistake in the rules

PRODUCT = "5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11"

WHOLE = f"""\
version: 1
credit_from: 2026-11-01T00:00:00Z

meters:
  api_usage:
    property: calls
  image_generations: {{}}

rules:
  - name: starter-pack
    products: [{PRODUCT}]
    triggers: [purchase, trial_start]
    grant:
      api_usage: 10
      image_generations: 0.1
"""


def parse(text: str) -> Rules:
    return parse_rules(dedent(text), "rules.yaml")


def problems(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        parse(text)
    return str(caught.value).split("\n")


def problem(text: str) -> str:
    """Return the one problem that ``text`` has, without the name of the file."""
    (line,) = problems(text)
    return line.removeprefix("rules.yaml:")


def amount(text: str) -> Decimal:
    return one_rule(f"{{name: a, grant: {{m: {text}}}}}").grant["m"]


def amount_problem(text: str) -> str:
    return rule_problem(f"{{name: a, grant: {{m: {text}}}}}").partition("m: ")[2]


def one_rule(rule: str) -> Rule:
    (only,) = parse(f"version: 1\nmeters: {{m: {{}}}}\nrules:\n- {rule}\n").rules
    return only


def rule_problem(rule: str) -> str:
    return problem(f"version: 1\nmeters: {{m: {{}}}}\nrules:\n- {rule}\n")


class TestAFileThatIsRight:
    def test_becomes_values(self) -> None:
        """Everything in the file is found again in the values, amounts exactly as written."""
        rules = parse(WHOLE)

        assert rules.credit_from == datetime(2026, 11, 1, tzinfo=UTC)
        assert rules.meters == {
            "api_usage": Meter(name="api_usage", property="calls"),
            "image_generations": Meter(name="image_generations"),
        }
        assert rules.rules == (
            Rule(
                name="starter-pack",
                products=frozenset({PRODUCT}),
                triggers=frozenset({Trigger.PURCHASE, Trigger.TRIAL_START}),
                grant={"api_usage": Decimal(10), "image_generations": Decimal("0.1")},
            ),
        )

    def test_defaults(self) -> None:
        """What is left out means every product, the usual triggers, the property units."""
        rules = parse("""\
            version: 1
            meters: {m: }
            rules: [{name: a, grant: {m: 1}}]
            """)

        assert rules.credit_from is None
        assert rules.meters["m"].property == "units"
        assert rules.rules[0].products is None
        assert rules.rules[0].triggers == DEFAULT_TRIGGERS
        assert {Trigger.TRIAL_START, Trigger.SUBSCRIPTION_UPDATE}.isdisjoint(DEFAULT_TRIGGERS)

    def test_may_have_no_rules(self) -> None:
        """An empty list grants nothing, and is allowed."""
        assert parse("version: 1\nrules: []\n").rules == ()

    def test_digest_follows_the_text(self) -> None:
        """The same text has the same digest, another text another one."""
        assert parse(WHOLE).digest == parse(WHOLE).digest
        assert parse(WHOLE).digest != parse(WHOLE + "# a comment\n").digest

    def test_product_ids_become_lower_case(self) -> None:
        """Polar's ids are in lower case; a pasted one in capitals is the same product."""
        assert one_rule(f"{{name: a, products: [{PRODUCT.upper()}], grant: {{m: 1}}}}").products == frozenset(
            {PRODUCT}
        )

    @unhurried
    @given(st.uuids())
    def test_any_unquoted_product_id_stays_a_text(self, product: UUID) -> None:
        """However much an id looks like a number, it is read as it was written."""
        assert one_rule(f"{{name: a, products: [{product}], grant: {{m: 1}}}}").products == frozenset(
            {str(product)}
        )

    def test_as_shipped_names_a_product_that_no_one_has(self) -> None:
        """The example that ships is right, and credits nobody."""
        (rule,) = load_rules(EXAMPLE).rules

        assert rule.products == frozenset({"00000000-0000-4000-8000-000000000000"})


class TestAmounts:
    @unhurried
    @given(st.integers(1, 10**15 - 1), st.integers(0, 12))
    def test_are_exact_and_survive_a_double(self, digits: int, decimals: int) -> None:
        """What may be written comes back exactly, also after Polar stored it as a JSON number."""
        written = Decimal(digits).scaleb(-decimals)
        if written >= 10**12:
            return
        assert amount(f"{written:f}") == written
        assert Decimal(repr(float(written))) == written

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("0", "expected more than 0, found the number '0'"),
            ("0.000", "expected more than 0, found the number '0.000'"),
            ("-5", "expected more than 0, found the number '-5'"),
            ("1000000000000", "expected less than 1,000,000,000,000"),
            ("0.0000000000001", "expected at least 0.000000000001"),
            ("1.234567890123456", "has 16 significant digits; at most 15 stay exact"),
            ("true", "expected a number, found the boolean 'true'"),
            ("null", "expected a number, found nothing"),
            ("", "expected a number, found nothing"),
            ("'10'", "expected a number, found the text '10'"),
            ("1000 * seats", "expected a number, found the text '1000 * seats'"),
            ("1e3", "expected a number, found the text '1e3'"),
            ("[1]", "expected a number, found a list"),
            (".inf", "expected plain digits, such as 1000 or 0.5, found the number '.inf'"),
            (".nan", "expected plain digits"),
            ("010", "expected plain digits"),
            ("0x10", "expected plain digits"),
            ("1_000", "expected plain digits"),
            ("1:30", "expected plain digits"),
            ("!!int ten", "expected plain digits"),
        ],
    )
    def test_that_are_none_are_refused(self, text: str, message: str) -> None:
        """Nothing but plain positive digits is taken for an amount."""
        assert message in amount_problem(text)

    @pytest.mark.parametrize("text", ["999999999999", "999999999999.999", "0.000000000001", "1.50"])
    def test_at_the_bounds_are_allowed(self, text: str) -> None:
        """The largest and smallest amounts are read."""
        assert amount(text) == Decimal(text)


class TestEveryProblem:
    def test_reads_as_the_contract_says(self) -> None:
        """A problem is one line: file, line, column, path, what is wrong, what may be meant."""
        text = WHOLE.replace("      api_usage: 10", "      api_usge: 10")

        with pytest.raises(ConfigError) as caught:
            parse_rules(text, "config/rules.yaml")

        assert str(caught.value) == (
            "config/rules.yaml:14:7: rules[0].grant.api_usge: "
            "unknown meter 'api_usge'; did you mean 'api_usage'?"
        )

    def test_is_shown_in_the_order_of_the_file(self) -> None:
        """All problems come at once, those of keys, values and what is missing alike."""
        assert problems("""\
            rules:
              - name: a b
                grant: {m: x, n: 1}
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
            "rules.yaml:3:16: rules[0].grant.m: expected a number, found the text 'x'",
            "rules.yaml:3:19: rules[0].grant.n: "
            "unknown meter 'n'; declare it under `meters` (there now: 'm')",
            "rules.yaml:4:5: rules[1]: missing key 'name'",
            "rules.yaml:4:5: rules[1].triger: unknown key 'triger'; did you mean 'triggers'?",
            "rules.yaml:5:12: rules[1].grant: grants nothing; name a meter and an amount",
            "rules.yaml:6:5: rules[2]: expected a mapping with the keys "
            "name, products, triggers, grant, found the text 'starter'",
            "rules.yaml:8:17: meters.m.property: 'order_id' is written by the service itself, "
            "as are granted_by, key, order_id, rules, reason",
            "rules.yaml:9:14: credit_from: a date alone leaves the moment open; write 2026-11-01T00:00:00Z",
            "rules.yaml:10:1: verson: unknown key 'verson'; did you mean 'version'?",
        ]

    def test_has_its_parts_for_machines(self) -> None:
        """An error carries each problem's place as values."""
        with pytest.raises(RulesError) as caught:
            parse("version: 2\nrules: []\n")

        (only,) = caught.value.problems
        assert (only.file, only.line, only.column, only.path) == ("rules.yaml", 1, 10, "version")

    @unhurried
    @given(st.text(alphabet=" \n\t-:[]{},&*<!'\"|>#%@~=ab01.\x85\ufeff\u2028\\U", max_size=60))
    def test_is_an_error_of_ours_whatever_the_file_says(self, text: str) -> None:
        """No text ends in anything but rules or a list of well-formed problems."""
        assert_rules_or_problems(text)

    @unhurried
    @given(
        st.integers(0, len(WHOLE)),
        st.integers(0, 12),
        st.text(alphabet=" \n-:[]{}&*<'\"~10", max_size=3),
    )
    def test_is_found_in_a_file_that_was_damaged(self, at: int, cut: int, put: str) -> None:
        """A slip of the editor ends in rules or in well-formed problems."""
        assert_rules_or_problems(WHOLE[:at] + put + WHOLE[at + cut :])


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
        assert all(line.startswith("rules.yaml:") for line in lines)
        assert all(one.line >= 1 and one.column >= 1 for one in error.problems)


class TestTheShapeOfTheFile:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "1:1: the file is empty; begin it with version: 1"),
            ("# only a comment\n", "1:1: the file is empty; begin it with version: 1"),
            ("- a\n", "1:1: expected a mapping with the keys version, credit_from, meters, rules"),
            ("version: 1\nrules: []\n---\na: 1\n", "3:1: a second document begins here"),
            ("version: 1\nrules:\n\t- name: a\n", "3:1: a tab cannot stand here; use spaces"),
            ("version: 1\nrules: [\x07]\n", "2:9: a control character cannot stand here"),
            ("version: 1\nrules: [a\n", "3:1: not valid YAML: expected ',' or ']'"),
            ("version: 1\nrules: *gone\n", "2:8: not valid YAML: found undefined alias 'gone'"),
            ('version: 1\nrules: "\\UFFFFFFFF"\n', "not valid YAML: a number here is out of range"),
            ("%YAML 3.0\n---\na: 1\n", "1:1: not valid YAML: found incompatible YAML document"),
            ("version: 1\nrules: !mine []\n", "2:8: rules: the tag '!mine' means nothing here"),
            ("version: 1\nrules: []\n? [a]\n: 1\n", "3:3: a key must be a text"),
            ("version: 1\nrules: {}\n", "2:8: rules: expected a list of rules, found a mapping"),
            ("version: 1\nrules:\n", "2:7: rules: expected a list of rules, found nothing"),
            ("version: 1\n", "1:1: missing key 'rules'"),
            ("version: 2\nrules: []\n", "1:10: version: expected the number 1, found the number"),
            ("version: '1'\nrules: []\n", "1:10: version: expected the number 1, found the text"),
            ("version: 1\nrules: []\nversion: 1\n", "3:1: version: duplicate key 'version'; it is"),
            ("version: 1\nrules: []\n1 2: 3\n", "3:1: ['1 2']: unknown key '1 2'; the keys here"),
            ("version: 1\nrules: []\n" + "#" * 10**6, "1:1: longer than 1,000,000 characters"),
        ],
    )
    def test_is_explained_where_it_is_wrong(self, text: str, message: str) -> None:
        """A file that cannot be walked, or not as a whole, gets one clear line."""
        assert message in problem(text)

    @pytest.mark.parametrize("deep", ["[" * 5000, "a: {" * 5000, "- " * 5000])
    def test_may_not_nest_without_end(self, deep: str) -> None:
        """Nesting is refused long before it could exhaust the stack."""
        assert problem(deep).endswith("nested more than 20 deep")

    def test_names_the_line_of_a_duplicate_key(self) -> None:
        """Of two equal keys the second is the problem, and the first is pointed to."""
        assert problem(WHOLE + "    name: again\n") == (
            "16:5: rules[0].name: duplicate key 'name'; it is first on line 10"
        )


class TestAliases:
    def test_and_merges_stand_for_their_text(self) -> None:
        """An alias repeats a value, a merge fills in keys, and keys written out win."""
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

    def test_bring_a_mistake_in_only_once(self) -> None:
        """A mistake is reported where its text stands, however often that is used."""
        assert problems("""\
            version: 1
            meters: {m: {}}
            rules:
              - {name: one, grant: &grant {m: nothing}}
              - {name: two, grant: *grant}
              - {name: three, grant: {<<: *grant}}
            """) == ["rules.yaml:4:35: rules[0].grant.m: expected a number, found the text 'nothing'"]

    @pytest.mark.parametrize(
        "text", ["&all [*all]", "a: &all {<<: *all}", "a: &all {b: {c: [*all]}}", "a: &all {<<: [*all]}"]
    )
    def test_to_what_they_are_inside_of_are_refused(self, text: str) -> None:
        """A value that contains itself would never end."""
        assert "this refers to itself by an alias; write it out" in problem(text)

    def test_that_multiply_are_refused(self) -> None:
        """A billion laughs: nine lines that would stand for a billion values."""
        lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

        assert problem("\n".join(lines)).endswith("with its aliases the file has over 100,000 values")

    def test_that_multiply_by_merging_are_refused(self) -> None:
        """Merges of merges are bounded as well, though few keys remain in the end."""
        lines = ["a0: &a0 {x: 1}"]
        lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 9)]

        assert "with its aliases the file has over" in problem("\n".join(lines))

    def test_in_long_chains_are_refused(self) -> None:
        """A chain of aliases nests too, though no line of it does."""
        lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 2000))]

        assert problem("\n".join(lines)).endswith("nested more than 20 deep")

    def test_can_merge_mappings_only(self) -> None:
        """A merge of anything else is a mistake at what was to be merged."""
        assert problem("version: 1\nrules: []\n<<: 5\n") == (
            "3:5: << can merge a mapping, or a list of mappings"
        )


class TestNames:
    @pytest.mark.parametrize(("name", "kind"), [("123", "number"), ("on", "boolean"), ("2026-11-01", "time")])
    def test_that_yaml_takes_for_something_else_need_quotes(self, name: str, kind: str) -> None:
        """YAML has its own idea of on, 123 and dates; the message says how to be clear."""
        assert rule_problem(f"{{name: {name}, grant: {{m: 1}}}}") == (
            f"4:10: rules[0].name: YAML reads this as a {kind}; quote it: '{name}'"
        )
        assert one_rule(f"{{name: '{name}', grant: {{m: 1}}}}").name == name

    @pytest.mark.parametrize("name", ["", "a" * 65, "a b", "ä", "a/b", "a\\nb"])
    def test_of_rules_are_plain(self, name: str) -> None:
        """A rule's name ends up in keys and commands: 1 to 64 plain characters."""
        assert "expected 1 to 64 of the characters" in rule_problem(f'{{name: "{name}", grant: {{m: 1}}}}')

    def test_of_rules_are_unique(self) -> None:
        """The second rule of a name is the problem, and the first is pointed to."""
        assert problem(WHOLE + "  - {name: starter-pack, grant: {api_usage: 1}}\n") == (
            "16:12: rules[1].name: duplicate rule name 'starter-pack'; it is first on line 10"
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
            *((name, "is written by the service itself") for name in ("granted_by", "key")),
            *((name, "is written by the service itself") for name in ("rules", "reason")),
        ],
    )
    def test_of_properties_leave_the_service_its_own(self, name: str, message: str) -> None:
        """A property is a key of an event's metadata, where the service writes some itself."""
        text = f"version: 1\nmeters: {{m: {{property: {name}}}}}\nrules: []\n"

        assert message in problem(text)


class TestMeters:
    def test_that_cannot_be_read_are_the_only_problem(self) -> None:
        """What the rules grant is not checked against meters that nobody could read."""
        assert problem("version: 1\nmeters: []\nrules: [{name: a, grant: {m: 1}}]\n") == (
            "2:9: meters: expected a mapping from each meter's name to its settings, found a list"
        )

    def test_must_be_declared(self) -> None:
        """Where no meter resembles the one granted, the message says what there is."""
        assert problem("version: 1\nrules: [{name: a, grant: {m: 1}}]\n").endswith(
            "unknown meter 'm'; declare it under `meters` (there now: none)"
        )

    def test_with_a_mistake_still_count_as_declared(self) -> None:
        """One mistake in a meter is not followed by another in each rule that grants it."""
        text = "version: 1\nmeters: {m: 5}\nrules: [{name: a, grant: {m: 1}}]\n"

        assert problem(text).endswith("expected a mapping with the keys property, found the number '5'")


class TestListsInARule:
    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ("products: []", "the list is empty; omit `products` to mean every product"),
            ("products: abc", "expected a list of products, found the text 'abc'"),
            ("products: [abc]", "expected a product's id, such as"),
            ("products: [12345678]", "expected a product's id, such as"),
            (f"products: [{PRODUCT}, {PRODUCT.upper()}]", f"duplicate product '{PRODUCT}'"),
            ("triggers: []", "omit `triggers` to mean purchase, subscription_create, subscription"),
            ("triggers: purchase", "expected a list of triggers, found the text 'purchase'"),
            ("triggers: [purchased]", "unknown trigger 'purchased'; did you mean 'purchase'?"),
            ("triggers: [xyz]", "unknown trigger 'xyz'; the triggers are purchase, subscription_"),
            ("triggers: [[]]", "expected a trigger, found a list"),
            ("triggers: [purchase, purchase]", "duplicate trigger 'purchase'; it is first on line 4"),
        ],
    )
    def test_are_sets_of_what_exists(self, rule: str, message: str) -> None:
        """Products and triggers are lists of known things, none empty, nothing twice."""
        assert message in rule_problem(f"{{name: a, {rule}, grant: {{m: 1}}}}")

    @pytest.mark.parametrize("key", ["when", "once_per", "on_refund", "from", "until"])
    def test_keys_of_a_later_format_are_refused(self, key: str) -> None:
        """A key that would narrow what is granted is never silently ignored."""
        assert f"unknown key '{key}'" in rule_problem(f"{{name: a, {key}: x, grant: {{m: 1}}}}")


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
        """Every common way to write the same moment is read as that moment, in UTC."""
        moment = parse(f"version: 1\nrules: []\ncredit_from: {text}\n").credit_from

        assert moment == datetime(2026, 11, 1, tzinfo=UTC)
        assert moment.tzinfo is UTC

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("2026-11-01", "a date alone leaves the moment open; write 2026-11-01T00:00:00Z"),
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
        """A time without its zone is a different moment on every machine."""
        assert message in problem(f"version: 1\nrules: []\ncredit_from: {text}\n")


class TestLoading:
    def test_a_missing_file_says_what_to_do(self, tmp_path: Path) -> None:
        """The message names the file and the variable that can point elsewhere."""
        path = tmp_path / "rules.yaml"

        with pytest.raises(ConfigError) as caught:
            load_rules(path)

        assert str(caught.value).startswith(f"{path}: there is no such file; ")
        assert "CREDITS_RULES" in str(caught.value)

    def test_a_folder_in_place_of_the_file_is_one_clear_line(self, tmp_path: Path) -> None:
        """Whatever keeps the file from being read is said in the system's words."""
        with pytest.raises(ConfigError, match=r"cannot be read \(.+\); mend that"):
            load_rules(tmp_path)

    def test_a_file_in_another_encoding_says_where(self, tmp_path: Path) -> None:
        """The first byte that is not UTF-8 is pointed to."""
        path = tmp_path / "rules.yaml"
        path.write_bytes("version: 1\n# für alle\n".encode("latin-1"))

        with pytest.raises(RulesError) as caught:
            load_rules(path)

        assert str(caught.value) == f"{path}:2:4: this is not UTF-8; save the file as UTF-8"

    def test_a_file_as_windows_writes_it_is_read(self, tmp_path: Path) -> None:
        """A byte order mark and carriage returns change nothing."""
        path = tmp_path / "rules.yaml"
        path.write_bytes(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())

        assert load_rules(path).rules == parse(WHOLE).rules
