"""Reads one rule of the file after the other, and what their keys say together."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TypeVar

from config.cel.amounts import Amount
from config.cel.expressions import Expression
from config.rules import expression_fields, fields
from config.rules.conflicts import conflicts_within
from config.rules.model import DEFAULT_TRIGGERS, Rule, Trigger
from config.rules.nodes import Node, Scalar, items_of, mapping_of, values_of
from config.rules.problems import NodeError, Place, Report
from config.rules.sample_check import find_amount_problem, find_condition_problem
from config.rules.warnings import find_warnings
from config.wording import describe_unknown, joined, quoted

T = TypeVar("T")
Absent = TypeVar("Absent")

FaultOf = Callable[[Expression, frozenset[Trigger]], str]

RULE_KEYS = ("name", "products", "triggers", "when", "once_per", "on_refund", "from", "until", "grant")

# Where `from` or `until` cannot be read the rule is for no time at all: it gets into no one's way.
_NEVER_BEGINS = datetime.max.replace(tzinfo=UTC)
_NEVER_LASTS = datetime.min.replace(tzinfo=UTC)


class RuleReader:
    """Reads the rules of one file; ``declared`` are its meters, None if nobody could read them.

    What cannot be read is reported, and read as what leads to no further problem.
    """

    def __init__(self, report: Report, declared: Collection[str] | None) -> None:
        self._report = report
        self._declared = declared
        self._names: dict[str, Place] = {}

    def rule(self, piece: Node) -> Rule:
        """Return one rule, after a look at what its keys say together."""
        values = values_of(piece, self._report, allowed=RULE_KEYS, required=("name", "grant"))
        rule = self._rule(values)
        for key, words in conflicts_within(rule):
            self._report.add(values[key].place, words)
        self._try_all(rule, values)
        return rule

    def _try_all(self, rule: Rule, values: Mapping[str, Node]) -> None:
        if rule.when is not None:
            self._try(rule.when.whole, values["when"], find_condition_problem, rule)
        pieces = mapping_of(values["grant"], "amounts") if rule.grant else {}
        for meter, amount in rule.grant.items():
            if isinstance(amount, Expression):
                self._try(amount, pieces[meter].value, find_amount_problem, rule)

    def _try(self, expression: Expression, piece: Node, fault_of: FaultOf, rule: Rule) -> None:
        if fault := fault_of(expression, rule.triggers):
            self._report.add(piece.place, fault)
        for doubt in find_warnings(expression, rule):
            self._report.warn(piece.place, doubt)

    def _rule(self, values: Mapping[str, Node]) -> Rule:
        get, read = values.get, self._report.read
        begins = self._read(fields.moment, get("from"), absent=None, broken=_NEVER_BEGINS)
        until = partial(_until, begins=begins)
        return Rule(
            name=read(self._name, get("name"), ""),
            products=self._read(self._products, get("products"), absent=None, broken=frozenset()),
            triggers=self._read(self._triggers, get("triggers"), absent=DEFAULT_TRIGGERS, broken=frozenset()),
            when=read(expression_fields.condition, get("when"), None),
            begins=begins,
            ends=self._read(until, get("until"), absent=None, broken=_NEVER_LASTS),
            once_per_customer=self._read(fields.once_per, get("once_per"), absent=False, broken=True),
            revokes=read(fields.on_refund, get("on_refund"), False),
            grant=read(self._grant, get("grant"), {}),
        )

    def _read(
        self, reader: Callable[[Node], T], piece: Node | None, *, absent: Absent, broken: Absent
    ) -> T | Absent:
        return absent if piece is None else self._report.read(reader, piece, broken)

    def _name(self, piece: Node) -> str:
        return _first_time("rule name", fields.rule_name(piece), piece.place, self._names)

    def _products(self, piece: Node) -> frozenset[str]:
        return self._set("product", piece, fields.product_id, "every product")

    def _triggers(self, piece: Node) -> frozenset[Trigger]:
        usual = joined(trigger for trigger in Trigger if trigger in DEFAULT_TRIGGERS)
        return self._set("trigger", piece, fields.trigger, usual)

    def _set(self, what: str, piece: Node, read_item: Callable[[Node], T], omitted: str) -> frozenset[T]:
        items = items_of(piece, f"a list of {what}s")
        if not items:
            raise NodeError(piece.place, f"the list is empty; omit `{what}s` to mean {omitted}")
        seen: dict[T, Place] = {}

        def read_once(item: Node) -> T:
            return _first_time(what, read_item(item), item.place, seen)

        for item in items:
            self._report.read(read_once, item, None)
        return frozenset(seen) if len(seen) == len(items) else frozenset()

    def _grant(self, piece: Node) -> dict[str, Amount]:
        entries = mapping_of(piece, "a mapping from meters to amounts")
        if not entries:
            raise NodeError(piece.place, "grants nothing; name a meter and an amount")
        for entry in entries.values():
            self._report.read(self._check_declared, entry.key, None)
        return {
            name: self._report.read(expression_fields.amount, entry.value, Decimal())
            for name, entry in entries.items()
        }

    def _check_declared(self, key: Scalar) -> None:
        name = fields.meter_name(key)
        if self._declared is not None and name not in self._declared:
            have = joined(map(quoted, self._declared)) or "none"
            hint = f"declare it under `meters` (there now: {have})"
            raise NodeError(key.place, describe_unknown("meter", name, self._declared, hint))


def _until(piece: Node, begins: datetime | None) -> datetime:
    ends = fields.moment(piece)
    if begins not in (None, _NEVER_BEGINS) and ends <= begins:
        raise NodeError(piece.place, "`until` is not after `from`: the rule would never apply")
    return ends


def _first_time(what: str, value: T, place: Place, seen: dict[T, Place]) -> T:
    if value in seen:
        repeated = quoted(str(value))
        raise NodeError(place, f"duplicate {what} {repeated}; it is first on line {seen[value].line}")
    seen[value] = place
    return value
