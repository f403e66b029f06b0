"""The first rules file that ``credits init`` writes: whatever is chosen, it can be used and means that."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.rules import Meter, Trigger, parse_rules
from config.rules.fields import CONTROLS, RESERVED_PROPERTIES
from config.rules.starter import SCHEMA_FILE, StarterProduct, StarterRule, Template, starter_text
from tests.support.builders import some_id

NOW = datetime(2026, 11, 29, 12, 30, 15, tzinfo=UTC)


def writable(most: int) -> st.SearchStrategy[str]:
    """Return the texts that may be the name of a meter or a property."""
    controls = {chr(number) for number in (*range(0x20), *range(0x7F, 0xA0))}
    letters = st.characters(exclude_categories=["Cs"], exclude_characters=sorted(controls))
    return st.text(letters, min_size=1, max_size=most)


METERS = st.builds(
    Meter, name=writable(128), property=writable(40).filter(lambda name: name not in RESERVED_PROPERTIES)
)
PRODUCTS = st.builds(
    StarterProduct, id=st.integers(1, 99_999).map(some_id), title=st.text(st.characters(), max_size=300)
)
UNITS = st.one_of(
    st.integers(1, 10**9).map(str), st.decimals("0.000001", "999999", places=6).map("{:f}".format)
)


def one(template: Template, **fields: object) -> StarterRule:
    """Return a rule for a pack of credits."""
    products = () if template is Template.WELCOME else (StarterProduct(id=some_id(1), title="Starter pack"),)
    usual = {"products": products, "meter": Meter(name="api_usage"), "units": "1000"}
    return StarterRule(template=template, **{**usual, **fields})  # type: ignore[arg-type] # as the test says


@pytest.mark.parametrize(
    ("template", "name", "triggers", "revokes"),
    [
        (Template.PACK, "starter-pack", {Trigger.PURCHASE}, True),
        (Template.PLAN, "starter-pack-plan", {Trigger.SUBSCRIPTION_CREATE, Trigger.SUBSCRIPTION_CYCLE}, True),
        (Template.TRIAL, "starter-pack-trial", {Trigger.TRIAL_START}, False),
        (
            Template.YEARLY,
            "starter-pack-yearly",
            {Trigger.SUBSCRIPTION_CREATE, Trigger.SUBSCRIPTION_CYCLE},
            True,
        ),
        (Template.WELCOME, "welcome", {Trigger.CUSTOMER}, False),
    ],
)
def test_each_template_makes_the_rule_that_it_describes(
    template: Template, name: str, triggers: set[Trigger], revokes: bool
) -> None:
    text = starter_text([one(template)], NOW)
    rules = parse_rules(text, "rules.yaml", now=NOW)
    (rule,) = rules.rules
    assert (rule.name, set(rule.triggers), rule.revokes) == (name, triggers, revokes)
    assert rule.products == (None if template is Template.WELCOME else {some_id(1)})
    assert (rules.credit_from, rules.warnings) == (NOW, ())
    assert f"  # {template.description[0].upper()}{template.description[1:]}.\n" in text


def test_an_editor_finds_the_schema_and_a_person_the_names() -> None:
    lines = starter_text([one(Template.PACK)], NOW).splitlines()
    assert lines[0] == f"# yaml-language-server: $schema={SCHEMA_FILE}"
    assert f"      - {some_id(1)} # Starter pack" in lines
    assert "credit_from: 2026-11-29T12:30:15Z" in lines


def test_rules_for_the_same_product_get_names_of_their_own() -> None:
    rules = parse_rules(starter_text([one(Template.PLAN)] * 3, NOW), "rules.yaml").rules
    assert [rule.name for rule in rules] == [
        "starter-pack-plan",
        "starter-pack-plan-2",
        "starter-pack-plan-3",
    ]


@pytest.mark.parametrize(
    "name", ["yes", "No", "null", "on", "12", "1e3", "a: b", "# no", "~", "2026-11-01", "<<", "="]
)
def test_a_meter_whose_name_means_something_to_yaml_is_quoted(name: str) -> None:
    rules = parse_rules(starter_text([one(Template.PACK, meter=Meter(name=name, property=name))], NOW), "x")
    assert rules.meters == {name: Meter(name=name, property=name)}


CHOICES = st.lists(
    st.builds(
        StarterRule,
        template=st.sampled_from(Template),
        products=st.lists(PRODUCTS, min_size=1, max_size=40, unique_by=lambda each: each.id).map(tuple),
        meter=METERS,
        units=UNITS,
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda each: each.meter.name,
)


@given(CHOICES)
def test_whatever_products_and_meters_are_called_the_file_means_what_was_chosen(
    chosen: list[StarterRule],
) -> None:
    chosen = [
        StarterRule(template=each.template, meter=each.meter, units=each.units, products=())
        if each.template is Template.WELCOME
        else each
        for each in chosen
    ]
    rules = parse_rules(starter_text(chosen, NOW), "rules.yaml", now=NOW)
    assert rules.meters == {each.meter.name: each.meter for each in chosen}
    assert len({rule.name for rule in rules.rules}) == len(chosen)
    for rule, each in zip(rules.rules, chosen, strict=True):
        assert rule.products == ({product.id for product in each.products} or None)
        assert set(rule.grant) == {each.meter.name}
        assert rule.triggers == set(each.template.triggers)


def test_the_controls_that_the_property_test_leaves_out_are_those_that_no_rules_file_can_have() -> None:
    assert CONTROLS == r"\x00-\x1f\x7f-\x9f"
