"""Writes a first rules file, with comments, from what a merchant chose in ``credits init``. Pure."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

from config.rules.model import Meter, Trigger

SCHEMA_FILE = "rules.schema.json"
"""The name of the schema beside the rules file, which the file's first line gives to editors."""

_PLAIN = re.compile("[A-Za-z_][A-Za-z0-9_-]*")
_YAMLS_OWN = {"y", "n", "yes", "no", "true", "false", "on", "off", "null"}  # in any case
_TITLE_CHARACTERS = 60  # of a product's name in a comment
_NAME_CHARACTERS = 48  # of a rule's name; up to 64 are valid, and a number may follow


class Template(StrEnum):
    """A kind of rule to begin with; docs/cookbook has many more."""

    _value_: str
    description: str
    triggers: tuple[Trigger, ...]
    revokes: bool

    def __new__(
        cls, value: str, description: str = "", triggers: tuple[Trigger, ...] = (), revokes: bool = False
    ) -> "Template":
        """Create a member; the defaults are for mypy, which mistakes a look-up for a call of this method."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        member.triggers = triggers
        member.revokes = revokes
        return member

    PACK = "pack", "credits with each purchase of a product", (Trigger.PURCHASE,), True
    PLAN = (
        "plan",
        "credits with each paid period of a subscription",
        (Trigger.SUBSCRIPTION_CREATE, Trigger.SUBSCRIPTION_CYCLE),
        True,
    )
    TRIAL = "trial", "credits when a trial of a subscription starts", (Trigger.TRIAL_START,)
    YEARLY = (
        "yearly",
        "a year's credits with each yearly payment of a subscription",
        (Trigger.SUBSCRIPTION_CREATE, Trigger.SUBSCRIPTION_CYCLE),
        True,
    )
    WELCOME = "welcome", "credits for each new customer", (Trigger.CUSTOMER,)


class StarterProduct(Struct, frozen=True, kw_only=True):
    """A product that a rule names: its id, and its name at Polar for the comment."""

    id: str
    title: str


class StarterRule(Struct, frozen=True, kw_only=True):
    """One rule to write: a template with its products (none for ``welcome``), its meter and its credits."""

    template: Template
    products: tuple[StarterProduct, ...] = ()
    meter: Meter
    units: str
    """The number of credits, as the file shows it."""


def starter_text(rules: Sequence[StarterRule], credit_from: datetime) -> str:
    """Return the rules file; nothing that was created before ``credit_from`` is credited by it."""
    return "\n".join([*_head(credit_from), *_meters(rules), "", "rules:", *_rules(rules), ""])


def _head(credit_from: datetime) -> Iterator[str]:
    yield f"# yaml-language-server: $schema={SCHEMA_FILE}"
    yield ""
    yield "# Which orders give which credits. docs/rules.md explains every key, docs/cookbook has examples."
    yield "# `credits check` finds every mistake in this file. Running workers pick up a change in seconds."
    yield ""
    yield "version: 1"
    yield ""
    yield "# Nothing that was created before this moment is ever credited."
    yield f"credit_from: {credit_from.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    yield ""


def _meters(rules: Sequence[StarterRule]) -> Iterator[str]:
    yield "# The meters at Polar: the event name that the meter's filter looks for, and the property it sums."
    yield "meters:"
    for meter in dict.fromkeys(rule.meter for rule in rules):
        yield f"  {_text(meter.name)}:"
        yield f"    property: {_text(meter.property)}"


def _rules(rules: Sequence[StarterRule]) -> Iterator[str]:
    taken: set[str] = set()
    for rule in rules:
        if taken:
            yield ""
        name = _free_name(rule, taken)
        taken.add(name)
        yield f"  # {rule.template.description[0].upper()}{rule.template.description[1:]}."
        yield f"  - name: {_text(name)}"
        if rule.products:
            yield "    products:"
            yield from (f"      - {one.id} # {_comment(one.title)}" for one in rule.products)
        yield f"    triggers: [{', '.join(rule.template.triggers)}]"
        yield "    grant:"
        yield f"      {_text(rule.meter.name)}: {rule.units}"
        if rule.template.revokes:
            yield "    on_refund: revoke # a refund takes its share back; without this line the credits stay"


def _free_name(rule: StarterRule, taken: set[str]) -> str:
    """Return a name for the rule: its first product's and the template's, and a number if that is taken."""
    title = rule.products[0].title if rule.products else ""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.split("[^a-z0-9]+", plain) if word]
    stem = "-".join(words)[:_NAME_CHARACTERS].strip("-")
    usual = "-".join(filter(None, (stem, "" if rule.template in words else rule.template.value)))
    number, name = 1, usual
    while name in taken:
        number += 1
        name = f"{usual}-{number}"
    return name


def _text(text: str) -> str:
    """Return a text as YAML: plain if it can only be read as itself, else in double quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAMLS_OWN:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    # YAML folds some separators, and refuses some other characters of the basic plane.
    return char if char.isprintable() or char > "\uffff" else f"\\u{ord(char):04x}"


def _comment(title: str) -> str:
    """Return a title on one line, cut if it is long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in title).split())
    return line[:_TITLE_CHARACTERS] or "(no name)"
