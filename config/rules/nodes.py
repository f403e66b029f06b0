"""The plain pieces that a file is made of, each of which knows where it stands."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from config.rules.problems import NodeError, Place, Report
from config.wording import describe_unknown, joined, quoted


class NodeKind(StrEnum):
    """What YAML takes a single value for."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A value in the file: a ``Scalar``, ``Items`` or ``Entries``."""

    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Scalar(Node):
    """A single value: the text as written, never converted, and what YAML takes it for."""

    text: str
    kind: NodeKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Items(Node):
    """A list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A key with its value."""

    key: Scalar
    value: Node


@dataclass(frozen=True, kw_only=True, slots=True)
class Entries(Node):
    """A mapping; each entry is found by the text of its key."""

    entries: Mapping[str, Entry]


def expected(what: str, piece: Node) -> NodeError:
    """Return the error that says what belongs in the place of ``piece`` and what stands there."""
    return NodeError(piece.place, f"expected {what}, found {_found(piece)}")


def items_of(piece: Node, what: str) -> tuple[Node, ...]:
    """Return the items of a list; PieceError, asking for ``what``, if it is none."""
    if not isinstance(piece, Items):
        raise expected(what, piece)
    return piece.items


def mapping_of(piece: Node, what: str) -> Mapping[str, Entry]:
    """Return the entries of a mapping; PieceError, asking for ``what``, if it is none."""
    if not isinstance(piece, Entries):
        raise expected(what, piece)
    return piece.entries


def values_of(
    piece: Node, report: Report, *, allowed: Collection[str], required: Collection[str] = ()
) -> dict[str, Node]:
    """Return the values of a mapping by their keys; those missing or unknown are noted in ``report``."""
    entries = mapping_of(piece, f"a mapping with the keys {joined(allowed)}")
    for key in required:
        if key not in entries:
            report.add(piece.place, f"missing key {quoted(key)}")
    for key, entry in entries.items():
        if key not in allowed:
            hint = f"the keys here are {joined(allowed)}"
            report.add(entry.key.place, describe_unknown("key", key, allowed, hint))
    return {key: entry.value for key, entry in entries.items()}


def _found(piece: Node) -> str:
    if not isinstance(piece, Scalar):
        return "a list" if isinstance(piece, Items) else "a mapping"
    return "nothing" if piece.kind is NodeKind.NOTHING else f"the {piece.kind} {quoted(piece.text)}"
