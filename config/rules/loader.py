"""Loads the rules file: reads its meters and rules, and reports every problem with its place."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from config.errors import ConfigError
from config.rules import fields
from config.rules.conflicts import catch_alls, close_handovers, conflicts_between, mixed_instalments
from config.rules.model import Meter, Offer, Rule, Rules
from config.rules.nodes import Entries, Node, NodeKind, Scalar, items_of, mapping_of, values_of
from config.rules.offer_reader import OfferReader
from config.rules.problems import NodeError, Report
from config.rules.rule_reader import RuleReader
from config.rules.yaml_source import place_in, read_yaml

FILE_KEYS = ("version", "credit_from", "meters", "rules", "offers")
METER_KEYS = ("property",)

_DIGEST_CHARACTERS = 12  # enough to tell the versions of one file apart in a log line


def load_rules(path: Path) -> Rules:
    """Return the rules in the file at ``path``; ConfigError has every reason why it cannot be used."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: file not found; create it (credits init writes one), or set CREDITS_RULES "
            "to the path of your rules"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); fix that, or set CREDITS_RULES to another file"
        ) from None
    return parse_rules(_decoded(content, str(path)), str(path), now=datetime.now(UTC))


def parse_rules(text: str, file: str, *, now: datetime | None = None) -> Rules:
    """Return the rules in ``text``; RulesError has every problem, each with the file name ``file``.

    Given the time, there are also warnings of rules that are over, or that begin or end in many years.
    """
    report = Report(file)
    rules = report.read(partial(_rules, report=report, now=now), text, None)
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


def _rules(text: str, report: Report, now: datetime | None) -> Rules:
    root = read_yaml(text, report)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return _FileReader(report, now).file(root, digest)


class _FileReader:
    """Reads the nodes of one file. Reports each node that it cannot read, and goes on with the rest.

    If there are problems, the values returned are incomplete and must not be used.
    """

    def __init__(self, report: Report, now: datetime | None) -> None:
        self._report = report
        self._now = now
        self._declared: Collection[str] | None = ()  # the names of the meters; None if they cannot be read

    def file(self, node: Node, digest: str) -> Rules:
        read = self._report.read
        values = values_of(node, self._report, allowed=FILE_KEYS, required=("version", "rules"))
        read(fields.version, values.get("version"), None)
        # Meters come first, because the rules are checked against them.
        meters = read(self._meters, values.get("meters"), {})
        return Rules(
            credit_from=read(fields.moment, values.get("credit_from"), None),
            meters=meters,
            rules=read(self._rules, values.get("rules"), ()),
            offers=read(self._offers, values.get("offers"), {}),
            digest=digest,
            warnings=self._report.warnings,
        )

    def _meters(self, node: Node) -> dict[str, Meter]:
        self._declared = None
        entries = mapping_of(node, "a mapping from each meter's name to its settings")
        self._declared = entries
        for entry in entries.values():
            self._report.read(fields.meter_name, entry.key, None)
        return {
            name: self._report.read(partial(self._meter, name), entry.value, Meter(name=name))
            for name, entry in entries.items()
        }

    def _meter(self, name: str, node: Node) -> Meter:
        meter = Meter(name=name)
        if isinstance(node, Scalar) and node.kind is NodeKind.NOTHING:
            return meter  # `api_usage:` without a value means the same as `api_usage: {}`
        prop = values_of(node, self._report, allowed=METER_KEYS).get("property")
        return replace(meter, property=self._report.read(fields.property_name, prop, meter.property))

    def _offers(self, node: Node) -> dict[str, Offer]:
        return OfferReader(self._report, self._declared, self._now).offers(node)

    def _rules(self, node: Node) -> tuple[Rule, ...]:
        nodes = items_of(node, "a list of rules")
        self._report.name_rules(_rule_names(nodes))
        reader = RuleReader(self._report, self._declared, self._now)
        read = ((self._report.read(reader.rule, each, None), each.place) for each in nodes)
        placed = [(rule, place) for rule, place in read if rule is not None]
        for place, message in (*conflicts_between(placed), *mixed_instalments(placed)):
            self._report.add(place, message)
        for place, message in (*close_handovers(placed), *catch_alls(placed)):
            self._report.warn(place, message)
        return tuple(rule for rule, _ in placed)


def _rule_names(nodes: Sequence[Node]) -> dict[int, str]:
    """Return the names of the rules by their index, without those that cannot be read."""
    return {index: name for index, node in enumerate(nodes) if (name := _readable_name(node)) is not None}


def _readable_name(node: Node) -> str | None:
    entry = node.entries.get("name") if isinstance(node, Entries) else None
    try:
        return None if entry is None else fields.rule_name(entry.value)
    except NodeError:
        return None
