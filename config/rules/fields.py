"""What a single value in the rules file may be; knows nothing of rules as a whole.

Each reader takes one piece and returns its value, or raises PieceError with words for the user.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from config.rules.model import Trigger
from config.rules.nodes import Node, NodeKind, Scalar, expected
from config.rules.problems import NodeError
from config.wording import describe_unknown, joined, quoted

MAX_METER_CHARACTERS = 128  # Polar's limit on the name of an event
MAX_PROPERTY_CHARACTERS = 40  # Polar's limit on a key of an event's metadata
RESERVED_PROPERTIES = ("granted_by", "key", "order_id", "rules", "reason")  # written beside it

ONCE_PER = ("customer",)
ON_REFUND = ("keep", "revoke")

# Those that the schema for editors shares are written so that JavaScript reads them alike.
CONTROLS = r"\x00-\x1f\x7f-\x9f"
RULE_NAME = "[A-Za-z0-9._-]{1,64}"
PRODUCT_ID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = rf"{_DATE}[Tt ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]+)?)?"
_ZONE = "[Zz]|[+-][0-9]{2}:[0-9]{2}"
MOMENT = f"{_TIME}({_ZONE})"
_TIME_EXAMPLE = "2026-11-01T00:00:00Z"

_UNWRITABLE = re.compile(rf"[{CONTROLS}\ud800-\udfff]")  # and halves of characters


def version(piece: Node) -> int:
    """Return the version of the format, which can only be 1."""
    if _scalar(piece, NodeKind.NUMBER, "the number 1").text != "1":
        raise expected("the number 1", piece)
    return 1


def rule_name(piece: Node) -> str:
    """Return a rule's name: 1 to 64 characters that are safe in keys and on the command line."""
    name = _text(piece, "a name")
    if not re.fullmatch(RULE_NAME, name):
        raise expected("1 to 64 of the characters A-Z a-z 0-9 . _ -", piece)
    return name


def meter_name(piece: Node) -> str:
    """Return a meter's name: 1 to 128 characters, none of them a control character."""
    return _short_text(piece, "a meter's name", MAX_METER_CHARACTERS)


def property_name(piece: Node) -> str:
    """Return the metadata key that a meter sums: 1 to 40 characters, none of the service's own."""
    name = _short_text(piece, "a property's name", MAX_PROPERTY_CHARACTERS)
    if name in RESERVED_PROPERTIES:
        reserved = ", ".join(RESERVED_PROPERTIES)
        raise NodeError(piece.place, f"{quoted(name)} is written by the service itself, as are {reserved}")
    return name


def product_id(piece: Node) -> str:
    """Return a product's id in lower case."""
    # Whatever YAML takes it for, the text is what was written.
    if not isinstance(piece, Scalar) or not re.fullmatch(PRODUCT_ID, piece.text):
        raise expected("a product's id, such as 5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11", piece)
    return piece.text.lower()


def moment(piece: Node) -> datetime:
    """Return a point in time, in UTC; a date alone or a time without a zone is none."""
    what = f"a time such as {_TIME_EXAMPLE}"
    if not isinstance(piece, Scalar):
        raise expected(what, piece)
    if re.fullmatch(_DATE, piece.text):
        hint = f"a date alone leaves the moment open; write {piece.text}T00:00:00Z"
        raise NodeError(piece.place, hint)
    match = re.fullmatch(f"{_TIME}(?P<zone>{_ZONE})?", piece.text)
    if match is None:
        raise expected(what, piece)
    if match["zone"] is None:
        hint = f"{quoted(piece.text)} has no time zone; add Z for UTC, as in {_TIME_EXAMPLE}"
        raise NodeError(piece.place, hint)
    try:
        return datetime.fromisoformat(piece.text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NodeError(piece.place, f"there is no such time as {quoted(piece.text)}") from None


_A_CYCLE = "a renewal that was paid is subscription_cycle"
_OTHER_WORDS = {
    "renewal": _A_CYCLE, "subscription_renewal": _A_CYCLE, "subscription_renew": _A_CYCLE,
    "subscription.renewed": _A_CYCLE, "trial": "a trial's beginning is trial_start",
    "refund": "refunds need no trigger but on_refund: revoke",
    "order.refunded": "refunds need no trigger but on_refund: revoke",
}  # fmt: skip


def trigger(piece: Node) -> Trigger:
    """Return what happened, in the words of a rule."""
    words = [one.value for one in Trigger]
    if isinstance(piece, Scalar) and piece.text in _OTHER_WORDS:
        raise NodeError(piece.place, f"unknown trigger {quoted(piece.text)}; {_OTHER_WORDS[piece.text]}")
    return Trigger(_word(piece, "trigger", words, what="a trigger", hint=f"the triggers are {joined(words)}"))


def once_per(piece: Node) -> bool:
    """Return whether a rule applies once per customer: the one thing that can be said here."""
    word = _word(piece, "word", ONCE_PER, what="customer", hint="it can only be customer")
    return word == "customer"


def on_refund(piece: Node) -> bool:
    """Return whether refunds take back what the rule granted."""
    word = _word(piece, "word", ON_REFUND, what="keep or revoke", hint="it can be keep or revoke")
    return word == "revoke"


def _word(piece: Node, kind: str, words: Sequence[str], *, what: str, hint: str) -> str:
    if not isinstance(piece, Scalar) or piece.kind is NodeKind.NOTHING:
        raise expected(what, piece)
    if piece.text not in words:
        raise NodeError(piece.place, describe_unknown(kind, piece.text, words, hint))
    return piece.text


def _scalar(piece: Node, kind: NodeKind, what: str) -> Scalar:
    if not isinstance(piece, Scalar) or piece.kind is not kind:
        raise expected(what, piece)
    return piece


def _text(piece: Node, what: str) -> str:
    if isinstance(piece, Scalar) and piece.kind in {NodeKind.NUMBER, NodeKind.BOOLEAN, NodeKind.TIME}:
        message = f"YAML reads this as a {piece.kind}; quote it: {quoted(piece.text)}"
        raise NodeError(piece.place, message)
    return _scalar(piece, NodeKind.TEXT, what).text


def _short_text(piece: Node, what: str, most_characters: int) -> str:
    text = _text(piece, what)
    if not 1 <= len(text) <= most_characters:
        raise expected(f"{what} of 1 to {most_characters} characters", piece)
    if _UNWRITABLE.search(text):
        raise expected(f"{what} without control characters", piece)
    return text
