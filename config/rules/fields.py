"""Reads single values of the rules file: names, ids, times and words.

Each function takes one node. It returns the value, or raises NodeError with a message for the user.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from config.ids import read_id
from config.intervals import Every
from config.rules.model import Trigger
from config.rules.nodes import Node, NodeKind, Scalar, expected
from config.rules.problems import NodeError
from config.wording import describe_unknown, joined, quoted

MAX_METER_CHARACTERS = 128  # Polar's limit on the name of an event
MAX_PROPERTY_CHARACTERS = 40  # Polar's limit on a key of an event's metadata
RESERVED_PROPERTIES = ("granted_by", "key", "order_id", "rules", "reason")  # usage events already use these

ONCE_PER = ("customer",)
OFFER_ONCE_PER = ("key", "customer")
ON_REVERSAL = ("keep", "revoke")

# The schema for editors uses these patterns too, so they must mean the same in JavaScript.
CONTROLS = r"\x00-\x1f\x7f-\x9f"
RULE_NAME = "[A-Za-z0-9._-]{1,64}"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = rf"{_DATE}[Tt ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]+)?)?"
_ZONE = "[Zz]|[+-][0-9]{2}:[0-9]{2}"
MOMENT = f"{_TIME}({_ZONE})"
_TIME_EXAMPLE = "2026-11-01T00:00:00Z"

_UNWRITABLE = re.compile(rf"[{CONTROLS}\ud800-\udfff]")  # control characters and lone surrogates


def version(node: Node) -> int:
    """Return the version of the format, which can only be 1."""
    if _scalar(node, NodeKind.NUMBER, "the number 1").text != "1":
        raise expected("the number 1", node)
    return 1


def rule_name(node: Node) -> str:
    """Return a rule's name: 1 to 64 characters that are safe in keys and on a command line."""
    name = _text(node, "a name")
    if not re.fullmatch(RULE_NAME, name):
        raise expected("1 to 64 of the characters A-Z a-z 0-9 . _ -", node)
    return name


def meter_name(node: Node) -> str:
    """Return a meter's name: 1 to 128 characters, none of them a control character."""
    return _short_text(node, "a meter's name", MAX_METER_CHARACTERS)


def property_name(node: Node) -> str:
    """Return the metadata property that a meter sums: 1 to 40 characters, and not a reserved name."""
    name = _short_text(node, "a property's name", MAX_PROPERTY_CHARACTERS)
    if name in RESERVED_PROPERTIES:
        reserved = ", ".join(RESERVED_PROPERTIES)
        message = f"{quoted(name)} is reserved: the service itself writes {reserved}"
        raise NodeError(node.place, message)
    return name


def product_id(node: Node) -> str:
    """Return a product's id, in Polar's spelling."""
    try:
        # The text is used as written, whatever type YAML gives to it.
        return read_id(node.text if isinstance(node, Scalar) else "")
    except ValueError:
        raise expected("a product's id, such as 5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11", node) from None


def moment(node: Node) -> datetime:
    """Return a point in time, in UTC; a date alone or a time without a zone is an error."""
    what = f"a time such as {_TIME_EXAMPLE}"
    if not isinstance(node, Scalar):
        raise expected(what, node)
    if re.fullmatch(_DATE, node.text):
        hint = f"a date alone is ambiguous; add a time and a zone, as in {node.text}T00:00:00Z"
        raise NodeError(node.place, hint)
    match = re.fullmatch(f"{_TIME}(?P<zone>{_ZONE})?", node.text)
    if match is None:
        raise expected(what, node)
    if match["zone"] is None:
        hint = f"{quoted(node.text)} has no time zone; add Z for UTC, as in {_TIME_EXAMPLE}"
        raise NodeError(node.place, hint)
    try:
        return datetime.fromisoformat(node.text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NodeError(node.place, f"there is no such time as {quoted(node.text)}") from None


_CYCLE_HINT = "a paid renewal is subscription_cycle"
_REFUND_HINT = "for refunds set on_refund: revoke"
_DISPUTE_HINT = "for lost disputes set on_dispute: revoke"
_TRIGGER_HINTS = {
    "renewal": _CYCLE_HINT,
    "subscription_renewal": _CYCLE_HINT,
    "subscription_renew": _CYCLE_HINT,
    "subscription.renewed": _CYCLE_HINT,
    "trial": "the start of a trial is trial_start",
    "refund": _REFUND_HINT,
    "order.refunded": _REFUND_HINT,
    "dispute": _DISPUTE_HINT,
    "chargeback": _DISPUTE_HINT,
}


def trigger(node: Node) -> Trigger:
    """Return the trigger that ``node`` names."""
    words = [one.value for one in Trigger]
    if isinstance(node, Scalar) and node.text in _TRIGGER_HINTS:
        raise NodeError(node.place, f"unknown trigger {quoted(node.text)}; {_TRIGGER_HINTS[node.text]}")
    return Trigger(_word(node, "trigger", words, what="a trigger", hint=f"the triggers are {joined(words)}"))


def once_per(node: Node) -> bool:
    """Return True for ``customer``, the only word that is valid here."""
    word = _word(node, "word", ONCE_PER, what="customer", hint="it can only be customer")
    return word == "customer"


def offer_once_per(node: Node) -> bool:
    """Return whether an offer is given once per customer, and not once per key."""
    word = _word(node, "word", OFFER_ONCE_PER, what="key or customer", hint="it can be key or customer")
    return word == "customer"


def count(node: Node) -> int:
    """Return a whole number of at least 1."""
    what = "a whole number of at least 1, such as 20"
    if not re.fullmatch("[1-9][0-9]{0,8}", _scalar(node, NodeKind.NUMBER, what).text):
        raise expected(what, node)
    return int(_scalar(node, NodeKind.NUMBER, what).text)


def revokes(node: Node) -> bool:
    """Return whether refunds, or lost disputes, take back what the rule granted: true for ``revoke``."""
    word = _word(node, "word", ON_REVERSAL, what="keep or revoke", hint="it can be keep or revoke")
    return word == "revoke"


_EVERY_HINTS = {
    "monthly": "write month",
    "weekly": "write week",
    "day": "it can be month or week",
    "year": "a yearly plan is credited each year by subscription_cycle",
}


def every(node: Node) -> Every:
    """Return how often a rule credits again within a paid period."""
    words = [one.value for one in Every]
    if isinstance(node, Scalar) and node.text in _EVERY_HINTS:
        raise NodeError(node.place, f"unknown word {quoted(node.text)}; {_EVERY_HINTS[node.text]}")
    return Every(_word(node, "word", words, what="month or week", hint="it can be month or week"))


def _word(node: Node, kind: str, words: Sequence[str], *, what: str, hint: str) -> str:
    if not isinstance(node, Scalar) or node.kind is NodeKind.NOTHING:
        raise expected(what, node)
    if node.text not in words:
        raise NodeError(node.place, describe_unknown(kind, node.text, words, hint))
    return node.text


def _scalar(node: Node, kind: NodeKind, what: str) -> Scalar:
    if not isinstance(node, Scalar) or node.kind is not kind:
        raise expected(what, node)
    return node


def _text(node: Node, what: str) -> str:
    if isinstance(node, Scalar) and node.kind in {NodeKind.NUMBER, NodeKind.BOOLEAN, NodeKind.TIME}:
        message = f"YAML reads this as a {node.kind}; quote it: {quoted(node.text)}"
        raise NodeError(node.place, message)
    return _scalar(node, NodeKind.TEXT, what).text


def _short_text(node: Node, what: str, most_characters: int) -> str:
    text = _text(node, what)
    if not 1 <= len(text) <= most_characters:
        raise expected(f"{what} of 1 to {most_characters} characters", node)
    if _UNWRITABLE.search(text):
        raise expected(f"{what} without control characters", node)
    return text
