"""The loader of the rules file; the door to everything about rules."""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from config.errors import ConfigError
from config.rules import fields
from config.rules.conflicts import close_handovers, conflicts_between
from config.rules.model import Meter, Rule, Rules
from config.rules.nodes import Node, NodeKind, Scalar, items_of, mapping_of, values_of
from config.rules.problems import Report
from config.rules.rule_reader import RuleReader
from config.rules.yaml_source import place_in, read_yaml

FILE_KEYS = ("version", "credit_from", "meters", "rules")
METER_KEYS = ("property",)

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
        self._declared: Collection[str] | None = ()  # None: the meters cannot be read

    def file(self, piece: Node, digest: str) -> Rules:
        read = self._report.read
        values = values_of(piece, self._report, allowed=FILE_KEYS, required=("version", "rules"))
        read(fields.version, values.get("version"), None)
        meters = read(self._meters, values.get("meters"), {})  # first: rules are checked against it
        return Rules(
            credit_from=read(fields.moment, values.get("credit_from"), None),
            meters=meters,
            rules=read(self._rules, values.get("rules"), ()),
            digest=digest,
            warnings=self._report.warnings,
        )

    def _meters(self, piece: Node) -> dict[str, Meter]:
        self._declared = None
        entries = mapping_of(piece, "a mapping from each meter's name to its settings")
        self._declared = entries
        for entry in entries.values():
            self._report.read(fields.meter_name, entry.key, None)
        return {
            name: self._report.read(partial(self._meter, name), entry.value, Meter(name=name))
            for name, entry in entries.items()
        }

    def _meter(self, name: str, piece: Node) -> Meter:
        meter = Meter(name=name)
        if isinstance(piece, Scalar) and piece.kind is NodeKind.NOTHING:
            return meter  # `api_usage:` with nothing behind it says as much as `api_usage: {}`
        prop = values_of(piece, self._report, allowed=METER_KEYS).get("property")
        return replace(meter, property=self._report.read(fields.property_name, prop, meter.property))

    def _rules(self, piece: Node) -> tuple[Rule, ...]:
        reader = RuleReader(self._report, self._declared)
        pieces = items_of(piece, "a list of rules")
        read = ((self._report.read(reader.rule, item, None), item.place) for item in pieces)
        placed = [(rule, place) for rule, place in read if rule is not None]
        for place, words in conflicts_between(placed):
            self._report.add(place, words)
        for place, words in close_handovers(placed):
            self._report.warn(place, words)
        return tuple(rule for rule, _ in placed)
