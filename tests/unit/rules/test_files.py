"""A valid rules file: the values read from it, and how the file is loaded."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from config.rules import DEFAULT_TRIGGERS, Meter, Rule, RulesError, Trigger, load_rules
from tests.support.paths import ROOT
from tests.support.rule_files import PRODUCT, WHOLE, one_rule, parse

EXAMPLE = ROOT / "config" / "rules.yaml"


class TestAValidFile:
    def test_becomes_values(self) -> None:
        """Every key of the file becomes a value; amounts are exactly as written."""
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
        """Omitted keys mean every product, the default triggers and the property units."""
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
        """An empty list is valid and grants nothing."""
        assert parse("version: 1\nrules: []\n").rules == ()

    def test_digest_follows_the_text(self) -> None:
        """The digest is the same for the same text, and different for a different text."""
        assert parse(WHOLE).digest == parse(WHOLE).digest
        assert parse(WHOLE).digest != parse(WHOLE + "# a comment\n").digest

    def test_product_ids_become_lower_case(self) -> None:
        """Polar's ids are in lower case; an id in capitals means the same product."""
        assert one_rule(f"{{name: a, products: [{PRODUCT.upper()}], grant: {{m: 1}}}}").products == frozenset(
            {PRODUCT}
        )

    @given(st.uuids())
    def test_any_unquoted_product_id_stays_a_text(self, product: UUID) -> None:
        """An id is read as written, however much it looks like a number."""
        assert one_rule(f"{{name: a, products: [{product}], grant: {{m: 1}}}}").products == frozenset(
            {str(product)}
        )

    def test_as_shipped_names_a_product_that_does_not_exist(self) -> None:
        """The rules file as shipped is valid and credits nobody."""
        (rule,) = load_rules(EXAMPLE).rules

        assert rule.products == frozenset({"00000000-0000-4000-8000-000000000000"})


class TestLoading:
    def test_a_missing_file_says_what_to_do(self, tmp_path: Path) -> None:
        """The message names the file and the variable for its path."""
        path = tmp_path / "rules.yaml"

        with pytest.raises(ConfigError) as caught:
            load_rules(path)

        assert str(caught.value).startswith(f"{path}: file not found; ")
        assert "CREDITS_RULES" in str(caught.value)

    def test_a_folder_in_place_of_the_file_is_one_clear_line(self, tmp_path: Path) -> None:
        """The message has the system's reason why the file cannot be read."""
        with pytest.raises(ConfigError, match=r"cannot be read \(.+\); fix that"):
            load_rules(tmp_path)

    def test_a_file_in_another_encoding_says_where(self, tmp_path: Path) -> None:
        """The message has the place of the first byte that is not UTF-8."""
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
