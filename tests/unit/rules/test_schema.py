"""The schema for editors: it accepts every file that the loader accepts, and finds typical mistakes."""

import json
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.cli.root import root
from config.rules import RulesError, Trigger, parse_rules
from config.rules.schema import schema_text
from tests.support.builders import METERS
from tests.support.drawn_rules import line_of, rule_sets
from tests.support.paths import ROOT
from tests.support.rule_files import PRODUCT, WHOLE, file_of
from tests.unit.repository.test_docs import YAML

SCHEMA = json.loads(schema_text())
VALIDATOR = Draft202012Validator(SCHEMA)


class EditorLoader(yaml.SafeLoader):
    """Reads YAML 1.2, as editors do: a time is a text."""


EditorLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in each if not tag.endswith(":timestamp")]
    for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def complaints(text: str) -> list[str]:
    """Return the places that an editor would underline in ``text``, with its messages."""
    found = VALIDATOR.iter_errors(yaml.load(text, EditorLoader))  # noqa: S506 - a safe loader
    return [f"{error.json_path}: {error.message}" for error in found]


class TestTheSchema:
    def test_is_a_schema(self) -> None:
        """It is valid JSON Schema 2020-12."""
        Draft202012Validator.check_schema(SCHEMA)

    def test_is_kept_beside_the_rules(self) -> None:
        """Regenerate it after a change: credits rules schema > config/rules.schema.json"""
        assert (ROOT / "config" / "rules.schema.json").read_text() == schema_text()

    def test_is_what_the_command_prints(self) -> None:
        """Only the schema goes to standard output, with and without --json."""
        for words in (["rules", "schema"], ["rules", "schema", "--json"]):
            result = CliRunner().invoke(root, words)
            assert (result.exit_code, result.stdout) == (0, schema_text())

    def test_is_named_by_the_rules_that_ship(self) -> None:
        """The first line of the rules file tells an editor where the schema is."""
        first = (ROOT / "config" / "rules.yaml").read_text().splitlines()[0]

        assert first == "# yaml-language-server: $schema=rules.schema.json"

    def test_explains_every_key_and_trigger(self) -> None:
        """An editor can show the meaning of every key and trigger."""
        rule = SCHEMA["properties"]["rules"]["items"]["properties"]
        meter = SCHEMA["properties"]["meters"]["additionalProperties"]["properties"]
        explained = [*SCHEMA["properties"].values(), *rule.values(), *meter.values()]
        triggers = rule["triggers"]["items"]["oneOf"]

        assert all(len(one["description"]) > 20 for one in [*explained, *triggers])
        assert [one["const"] for one in triggers] == list(Trigger)


FLOW = [
    "{name: a, grant: {m: 1}}",
    "{name: a, grant: {m: 0.000000000001, n: 999999999999.999}}",
    "{name: a, grant: {m: '10', n: 1000 * seats}}",
    f"{{name: a, products: [{PRODUCT.upper()}], grant: {{m: 1}}}}",
    "{name: '123', when: 'false', grant: {m: 1e3}}",
    "{name: a, when: \"order.paid\\n&& seats > 1\", grant: {m: 1}}",
    "{name: a, from: 2026-12-01 00:00Z, until: '2026-12-02t00:00:00.123456+01:00', grant: {m: 1}}",
    "{name: a, on_refund: revoke, grant: {m: 1}}",
    "{name: a, once_per: customer, on_refund: keep, triggers: [customer.created], grant: {m: 1}}",
    "{name: a, grant: {<<: {m: 1}, n: 2}}",
]  # fmt: skip
FILES = [
    WHOLE,
    "version: 1\nrules: []\n",
    "version: 1\ncredit_from: 2026-11-01 00:00:00.000Z\nmeters: {api v2: , größe: {}}\nrules: []\n",
    *map(file_of, FLOW),
    *(path.read_text() for path in (ROOT / "config" / "rules.yaml", ROOT / "app" / "demo" / "rules.yaml")),
    *(block for _, block in YAML),
]


class TestFilesThatTheLoaderAccepts:
    @pytest.mark.parametrize("text", FILES)
    def test_are_valid(self, text: str) -> None:
        """Every file in the documentation is valid for the loader and for the schema."""
        parse_rules(text, "rules.yaml")
        assert complaints(text) == []

    @given(rule_sets(), st.booleans())
    def test_are_valid_whatever_the_rules(self, drawn: list[Any], with_start: bool) -> None:
        """Every rule that the loader accepts is valid for the schema."""
        meters = json.dumps({name: {"property": value} for name, value in METERS.items()})
        start = "credit_from: 2026-11-01T00:00:00Z\n" if with_start else ""
        text = f"version: 1\n{start}meters: {meters}\nrules:\n" + "".join(
            f"{line_of(one)}\n" for one in drawn
        )

        parse_rules(text, "rules.yaml")
        assert complaints(text) == []


class TestTypicalMistakes:
    @pytest.mark.parametrize(
        ("rule", "where"),
        [
            ("{name: a}", "$.rules[0]: 'grant'"),
            ("{grant: {m: 1}}", "$.rules[0]: 'name'"),
            ("{name: a b, grant: {m: 1}}", "$.rules[0].name: "),
            ("{name: 123, grant: {m: 1}}", "$.rules[0].name: "),
            ("{name: a, triger: [purchase], grant: {m: 1}}", "$.rules[0]: Additional properties"),
            ("{name: a, triggers: purchase, grant: {m: 1}}", "$.rules[0].triggers: "),
            ("{name: a, triggers: [], grant: {m: 1}}", "$.rules[0].triggers: "),
            ("{name: a, triggers: [purchased], grant: {m: 1}}", "$.rules[0].triggers[0]: "),
            ("{name: a, triggers: [purchase, purchase], grant: {m: 1}}", "$.rules[0].triggers: "),
            ("{name: a, products: abc, grant: {m: 1}}", "$.rules[0].products: "),
            ("{name: a, products: [abc], grant: {m: 1}}", "$.rules[0].products[0]: "),
            ("{name: a, products: [], grant: {m: 1}}", "$.rules[0].products: "),
            ("{name: a, when: true, grant: {m: 1}}", "$.rules[0].when: "),
            ("{name: a, when: 5, grant: {m: 1}}", "$.rules[0].when: "),
            ("{name: a, when: , grant: {m: 1}}", "$.rules[0].when: "),
            ("{name: a, once_per: order, grant: {m: 1}}", "$.rules[0].once_per: "),
            ("{name: a, on_refund: take, grant: {m: 1}}", "$.rules[0].on_refund: "),
            ("{name: a, from: 2026-12-01, grant: {m: 1}}", "$.rules[0].from: "),
            ("{name: a, until: 2026-12-01T00:00:00, grant: {m: 1}}", "$.rules[0].until: "),
            ("{name: a, from: tomorrow, grant: {m: 1}}", "$.rules[0].from: "),
            ("{name: a, grant: {}}", "$.rules[0].grant: "),
            ("{name: a, grant: 10}", "$.rules[0].grant: "),
            ("{name: a, grant: {m: 0}}", "$.rules[0].grant.m: "),
            ("{name: a, grant: {m: -5}}", "$.rules[0].grant.m: "),
            ("{name: a, grant: {m: 1000000000000}}", "$.rules[0].grant.m: "),
            ("{name: a, grant: {m: true}}", "$.rules[0].grant.m: "),
            ("{name: a, grant: {m: [1]}}", "$.rules[0].grant.m: "),
            ("{name: a, grant: {m: ''}}", "$.rules[0].grant.m: "),
            ("starter", "$.rules[0]: "),
        ],
    )
    def test_in_a_rule_are_underlined(self, rule: str, where: str) -> None:
        """The schema finds the mistakes of form that the loader refuses."""
        (complaint,) = complaints(file_of(rule))

        assert complaint.startswith(where)
        with pytest.raises(RulesError):
            parse_rules(file_of(rule), "rules.yaml")

    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ("rules: []\n", "$: 'version'"),
            ("version: 1\n", "$: 'rules'"),
            ("version: 2\nrules: []\n", "$.version: "),
            ("version: '1'\nrules: []\n", "$.version: "),
            ("verson: 1\nversion: 1\nrules: []\n", "$: Additional properties"),
            ("version: 1\nrules: {}\n", "$.rules: "),
            ("version: 1\nrules:\n", "$.rules: "),
            ("version: 1\nrules: []\ncredit_from: 2026-11-01\n", "$.credit_from: "),
            ("version: 1\nrules: []\nmeters: []\n", "$.meters: "),
            ("version: 1\nrules: []\nmeters: {m: 5}\n", "$.meters.m: "),
            ("version: 1\nrules: []\nmeters: {m: {properti: x}}\n", "$.meters.m: "),
            ("version: 1\nrules: []\nmeters: {m: {property: key}}\n", "$.meters.m.property: "),
            ("version: 1\nrules: []\nmeters: {'': {}}\n", "$.meters: "),
            ('version: 1\nrules: []\nmeters: {"a\\tb": {}}\n', "$.meters: "),
        ],
    )
    def test_in_a_file_are_underlined(self, text: str, where: str) -> None:
        """The schema also checks the keys of the file and its meters."""
        (complaint,) = complaints(text)

        assert complaint.startswith(where)
        with pytest.raises(RulesError):
            parse_rules(text, "rules.yaml")
