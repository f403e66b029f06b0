"""The schema of the rules file and its loader; the door to everything about rules."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TypeVar

from config import fields
from config.errors import ConfigError
from config.pieces import Kind, Piece, Scalar, entries_of, expected, items_of
from config.problems import PieceError, Place, Problem, Report, RulesError, listed, shown, unknown
from config.ruleset import DEFAULT_TRIGGERS, MOST_DIGITS, Meter, Rule, Rules, Trigger
from config.yaml_source import place_in, read_yaml

__all__ = [
    "DEFAULT_TRIGGERS",
    "MOST_DIGITS",
    "Meter",
    "Problem",
    "Rule",
    "Rules",
    "RulesError",
    "Trigger",
    "load_rules",
    "parse_rules",
]

T = TypeVar("T")

_DIGEST_CHARACTERS = 12  # tells versions of one file apart in a log line


def load_rules(path: Path) -> Rules:
    """Read the rules file at ``path``; ConfigError says all that keeps it from being used."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; write it, or set CREDITS_RULES to where your rules are"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); mend that, or set CREDITS_RULES to a file"
        ) from None
    return parse_rules(_decoded(content, str(path)), str(path))


def parse_rules(text: str, file: str) -> Rules:
    """Return the rules in ``text``; RulesError has every problem, under the name ``file``."""
    report = Report(file)
    rules = report.read(partial(_rules, report=report), text, None)
    if rules is None or report.has_problems:
        raise report.error()
    return rules


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        report = Report(file)
        report.add(place_in(before, len(before)), "this is not UTF-8; save the file as UTF-8")
        raise report.error() from None


def _rules(text: str, report: Report) -> Rules:
    root = read_yaml(text, report)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return _FileReader(report).file(root, digest)


class _FileReader:
    """Reads the pieces of one file; what cannot be read is reported, and the rest still looked at.

    In a file with problems the values stay incomplete: nobody gets to see them.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._names: dict[str, Place] = {}
        self._declared: Collection[str] | None = ()  # None: the meters cannot be read

    def file(self, piece: Piece, digest: str) -> Rules:
        read = self._report.read
        values = self._values(
            piece,
            allowed=("version", "credit_from", "meters", "rules"),
            required=("version", "rules"),
        )
        read(fields.version, values.get("version"), None)
        meters = read(self._meters, values.get("meters"), {})  # first: rules are checked against it
        return Rules(
            credit_from=read(fields.moment, values.get("credit_from"), None),
            meters=meters,
            rules=read(self._all_rules, values.get("rules"), ()),
            digest=digest,
        )

    def _values(
        self, piece: Piece, *, allowed: tuple[str, ...], required: tuple[str, ...] = ()
    ) -> dict[str, Piece]:
        entries = entries_of(piece, f"a mapping with the keys {listed(allowed)}")
        for key in required:
            if key not in entries:
                self._report.add(piece.place, f"missing key {shown(key)}")
        for key, entry in entries.items():
            if key not in allowed:
                hint = f"the keys here are {listed(allowed)}"
                self._report.add(entry.key.place, unknown("key", key, allowed, hint))
        return {key: entry.value for key, entry in entries.items()}

    def _meters(self, piece: Piece) -> dict[str, Meter]:
        self._declared = None
        entries = entries_of(piece, "a mapping from each meter's name to its settings")
        self._declared = entries
        for entry in entries.values():
            self._report.read(fields.meter_name, entry.key, None)
        return {
            name: self._report.read(partial(self._meter, name), entry.value, Meter(name=name))
            for name, entry in entries.items()
        }

    def _meter(self, name: str, piece: Piece) -> Meter:
        meter = Meter(name=name)
        if isinstance(piece, Scalar) and piece.kind is Kind.NOTHING:
            return meter  # `api_usage:` with nothing behind it says as much as `api_usage: {}`
        prop = self._values(piece, allowed=("property",)).get("property")
        return replace(meter, property=self._report.read(fields.property_name, prop, meter.property))

    def _all_rules(self, piece: Piece) -> tuple[Rule, ...]:
        rules = [self._report.read(self._rule, item, None) for item in items_of(piece, "a list of rules")]
        return tuple(rule for rule in rules if rule is not None)

    def _rule(self, piece: Piece) -> Rule:
        read = self._report.read
        values = self._values(
            piece, allowed=("name", "products", "triggers", "grant"), required=("name", "grant")
        )
        return Rule(
            name=read(self._name, values.get("name"), ""),
            products=read(self._products, values.get("products"), None),
            triggers=read(self._triggers, values.get("triggers"), DEFAULT_TRIGGERS),
            grant=read(self._grant, values.get("grant"), {}),
        )

    def _name(self, piece: Piece) -> str:
        return _first_time("rule name", fields.rule_name(piece), piece.place, self._names)

    def _products(self, piece: Piece) -> frozenset[str]:
        return self._set("product", piece, fields.product_id, "every product")

    def _triggers(self, piece: Piece) -> frozenset[Trigger]:
        usual = listed(trigger for trigger in Trigger if trigger in DEFAULT_TRIGGERS)
        return self._set("trigger", piece, _trigger, usual)

    def _set(self, what: str, piece: Piece, read_item: Callable[[Piece], T], omitted: str) -> frozenset[T]:
        items = items_of(piece, f"a list of {what}s")
        if not items:
            raise PieceError(piece.place, f"the list is empty; omit `{what}s` to mean {omitted}")
        seen: dict[T, Place] = {}

        def read_once(item: Piece) -> T:
            return _first_time(what, read_item(item), item.place, seen)

        for item in items:
            self._report.read(read_once, item, None)
        return frozenset(seen)

    def _grant(self, piece: Piece) -> dict[str, Decimal]:
        entries = entries_of(piece, "a mapping from meters to amounts")
        if not entries:
            raise PieceError(piece.place, "grants nothing; name a meter and an amount")
        for entry in entries.values():
            self._report.read(self._check_declared, entry.key, None)
        return {
            name: self._report.read(fields.amount, entry.value, Decimal()) for name, entry in entries.items()
        }

    def _check_declared(self, key: Scalar) -> None:
        name = fields.meter_name(key)
        if self._declared is not None and name not in self._declared:
            have = listed(map(shown, self._declared)) or "none"
            hint = f"declare it under `meters` (there now: {have})"
            raise PieceError(key.place, unknown("meter", name, self._declared, hint))


def _trigger(piece: Piece) -> Trigger:
    if not isinstance(piece, Scalar):
        raise expected("a trigger", piece)
    words = [trigger.value for trigger in Trigger]
    if piece.text not in words:
        hint = f"the triggers are {listed(words)}"
        raise PieceError(piece.place, unknown("trigger", piece.text, words, hint))
    return Trigger(piece.text)


def _first_time(what: str, value: T, place: Place, seen: dict[T, Place]) -> T:
    if value in seen:
        repeated = shown(str(value))
        raise PieceError(place, f"duplicate {what} {repeated}; it is first on line {seen[value].line}")
    seen[value] = place
    return value
