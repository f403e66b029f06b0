"""Reads the rules of a file one by one, and checks each as a whole."""

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
from config.rules.warnings import find_warnings, window_warnings
from config.wording import describe_unknown, joined, quoted

T = TypeVar("T")
Absent = TypeVar("Absent")

AnyAmount = TypeVar("AnyAmount", bound=Amount)

FindProblem = Callable[[Expression, frozenset[Trigger]], str]

RULE_KEYS = (
    "name",
    "products",
    "triggers",
    "when",
    "once_per",
    "on_refund",
    "on_dispute",
    "from",
    "until",
    "every",
    "grant",
)

_OVER = "this time is in the past: the rule credits only what was created before it"

# A rule whose `from` or `until` cannot be read covers no time, so it conflicts with no other rule.
NEVER_BEGINS = datetime.max.replace(tzinfo=UTC)
NEVER_LASTS = datetime.min.replace(tzinfo=UTC)


class RuleReader:
    """Reads the rules of one file; ``declared`` names its meters; None if they cannot be read.

    A value that cannot be read is reported and replaced by one that causes no further problem.
    """

    def __init__(self, report: Report, declared: Collection[str] | None, now: datetime | None = None) -> None:
        self._report = report
        self._declared = declared
        self._now = now
        self._names: dict[str, Place] = {}

    def rule(self, node: Node) -> Rule:
        """Return one rule; report unreadable values, conflicting keys and expressions that cannot work."""
        values = values_of(node, self._report, allowed=RULE_KEYS, required=("name", "grant"))
        rule = self._rule(values)
        for key, message in conflicts_within(rule):
            self._report.add(values[key].place, message)
        self._check_expressions(rule, values)
        if self._now is not None:
            for key, message in window_warnings(rule.begins, rule.ends, self._now, over=_OVER):
                self._report.warn(values[key].place, message)
        return rule

    def _check_expressions(self, rule: Rule, values: Mapping[str, Node]) -> None:
        if rule.when is not None:
            self._check(rule.when.whole, values["when"], find_condition_problem, rule)
        entries = mapping_of(values["grant"], "amounts") if rule.grant else {}
        for meter, amount in rule.grant.items():
            if isinstance(amount, Expression):
                self._check(amount, entries[meter].value, find_amount_problem, rule)

    def _check(self, expression: Expression, node: Node, find_problem: FindProblem, rule: Rule) -> None:
        if problem := find_problem(expression, rule.effective_triggers):
            self._report.add(node.place, problem)
        for warning in find_warnings(expression, rule):
            self._report.warn(node.place, warning)

    def _rule(self, values: Mapping[str, Node]) -> Rule:
        get, read = values.get, self._report.read
        begins = self._read(fields.moment, get("from"), absent=None, broken=NEVER_BEGINS)
        until = partial(read_until, begins=begins)
        return Rule(
            name=read(self._name, get("name"), ""),
            products=self._read(self._products, get("products"), absent=None, broken=frozenset()),
            triggers=self._read(self._triggers, get("triggers"), absent=DEFAULT_TRIGGERS, broken=frozenset()),
            when=read(expression_fields.condition, get("when"), None),
            begins=begins,
            ends=self._read(until, get("until"), absent=None, broken=NEVER_LASTS),
            once_per_customer=self._read(fields.once_per, get("once_per"), absent=False, broken=True),
            revokes=read(fields.revokes, get("on_refund"), False),
            revokes_disputed=read(fields.revokes, get("on_dispute"), False),
            every=read(fields.every, get("every"), None),
            grant=read(self._grant, get("grant"), {}),
        )

    def _read(
        self, reader: Callable[[Node], T], node: Node | None, *, absent: Absent, broken: Absent
    ) -> T | Absent:
        return absent if node is None else self._report.read(reader, node, broken)

    def _name(self, node: Node) -> str:
        return add_unique("rule name", fields.rule_name(node), node.place, self._names)

    def _products(self, node: Node) -> frozenset[str]:
        return self._set("product", node, fields.product_id, "every product")

    def _triggers(self, node: Node) -> frozenset[Trigger]:
        usual = joined(trigger for trigger in Trigger if trigger in DEFAULT_TRIGGERS)
        return self._set("trigger", node, fields.trigger, usual)

    def _set(self, what: str, node: Node, read_item: Callable[[Node], T], omitted: str) -> frozenset[T]:
        items = items_of(node, f"a list of {what}s")
        if not items:
            raise NodeError(node.place, f"the list is empty; omit `{what}s` to mean {omitted}")
        places: dict[T, Place] = {}

        def read_unique(item: Node) -> T:
            return add_unique(what, read_item(item), item.place, places)

        for item in items:
            self._report.read(read_unique, item, None)
        return frozenset(places) if len(places) == len(items) else frozenset()

    def _grant(self, node: Node) -> dict[str, Amount]:
        return read_amounts(node, expression_fields.amount, self._report, self._declared)


def read_amounts(
    node: Node,
    read_amount: Callable[[Node], AnyAmount],
    report: Report,
    declared: Collection[str] | None,
) -> dict[str, AnyAmount | Decimal]:
    """Return the amounts by meter; report those that cannot be read, and meters that are not declared."""
    entries = mapping_of(node, "a mapping from meters to amounts")
    if not entries:
        raise NodeError(node.place, "grants nothing; name a meter and an amount")
    for entry in entries.values():
        report.read(partial(_check_declared, declared=declared), entry.key, None)
    return {name: report.read(read_amount, entry.value, Decimal()) for name, entry in entries.items()}


def _check_declared(key: Scalar, declared: Collection[str] | None) -> None:
    name = fields.meter_name(key)
    if declared is not None and name not in declared:
        names = joined(map(quoted, declared)) or "none"
        hint = f"declare it under `meters` (declared: {names})"
        raise NodeError(key.place, describe_unknown("meter", name, declared, hint))


def read_until(node: Node, begins: datetime | None) -> datetime:
    """Return the end of a window, which must lie after its beginning."""
    ends = fields.moment(node)
    if begins not in (None, NEVER_BEGINS) and ends <= begins:
        raise NodeError(node.place, "`until` is not after `from`: it would never apply")
    return ends


def add_unique(what: str, value: T, place: Place, places: dict[T, Place]) -> T:
    """Return ``value`` and add it to ``places``; raise NodeError if it is already there."""
    if value in places:
        repeated, line = quoted(str(value)), places[value].line
        raise NodeError(place, f"duplicate {what} {repeated}; it first appears on line {line}")
    places[value] = place
    return value
