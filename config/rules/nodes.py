"""The nodes of a parsed rules file: plain values that know their place in it."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from msgspec import Struct

from config.rules.problems import NodeError, Place, Report
from config.wording import describe_unknown, joined, quoted


class NodeKind(StrEnum):
    """The type that YAML gives to a scalar."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    NOTHING = "nothing"


class Node(Struct, frozen=True, kw_only=True):
    """A value in the file: a ``Scalar``, ``Items`` or ``Entries``."""

    place: Place


class Scalar(Node, frozen=True, kw_only=True):
    """A single value: its text as written, never converted, and the type that YAML gives to it."""

    text: str
    kind: NodeKind


class Items(Node, frozen=True, kw_only=True):
    """A list."""

    items: tuple[Node, ...]


class Entry(Struct, frozen=True, kw_only=True):
    """A key with its value."""

    key: Scalar
    value: Node


class Entries(Node, frozen=True, kw_only=True):
    """A mapping: its entries by the text of their keys."""

    entries: Mapping[str, Entry]


def expected(what: str, node: Node) -> NodeError:
    """Return the error that says what was expected in place of ``node``."""
    return NodeError(node.place, f"expected {what}, found {_describe(node)}")


def items_of(node: Node, what: str) -> tuple[Node, ...]:
    """Return the items of a list; raise NodeError that asks for ``what`` if ``node`` is not one."""
    if not isinstance(node, Items):
        raise expected(what, node)
    return node.items


def mapping_of(node: Node, what: str) -> Mapping[str, Entry]:
    """Return the entries of a mapping; raise NodeError that asks for ``what`` if ``node`` is not one."""
    if not isinstance(node, Entries):
        raise expected(what, node)
    return node.entries


def values_of(
    node: Node, report: Report, *, allowed: Collection[str], required: Collection[str] = ()
) -> dict[str, Node]:
    """Return the values of a mapping by their keys; report the keys that are missing or unknown."""
    entries = mapping_of(node, f"a mapping with the keys {joined(allowed)}")
    for key in required:
        if key not in entries:
            report.add(node.place, f"missing key {quoted(key)}")
    for key, entry in entries.items():
        if key not in allowed:
            hint = f"the keys here are {joined(allowed)}"
            report.add(entry.key.place, describe_unknown("key", key, allowed, hint))
    return {key: entry.value for key, entry in entries.items()}


def _describe(node: Node) -> str:
    if not isinstance(node, Scalar):
        return "a list" if isinstance(node, Items) else "a mapping"
    return "nothing" if node.kind is NodeKind.NOTHING else f"the {node.kind} {quoted(node.text)}"
