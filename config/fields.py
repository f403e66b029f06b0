"""What a single value in the rules file may be; knows nothing of rules as a whole.

Each reader takes one piece and returns its value, or raises PieceError with words for the user.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal

from config.pieces import Kind, Piece, Scalar, expected
from config.problems import PieceError, shown
from config.ruleset import MOST_DIGITS

# Twelve digits before and twelve after the point: sums of amounts stay exact in 28 digits.
_TOO_MANY_CREDITS = Decimal(10**12)
_FEWEST_CREDITS = Decimal("0.000000000001")

_MAX_METER_CHARACTERS = 128  # Polar's limit on the name of an event
_MAX_PROPERTY_CHARACTERS = 40  # Polar's limit on a key of an event's metadata
_RESERVED_PROPERTIES = ("granted_by", "key", "order_id", "rules", "reason")  # written beside it

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # controls, and halves of characters
_RULE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PRODUCT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = re.compile(
    rf"{_DATE}[Tt ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]+)?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_TIME_EXAMPLE = "2026-11-01T00:00:00Z"


def version(piece: Piece) -> int:
    """Return the version of the format, which can only be 1."""
    if _scalar(piece, Kind.NUMBER, "the number 1").text != "1":
        raise expected("the number 1", piece)
    return 1


def rule_name(piece: Piece) -> str:
    """Return a rule's name: 1 to 64 characters that are safe in keys and on the command line."""
    name = _text(piece, "a name")
    if not _RULE_NAME.fullmatch(name):
        raise expected("1 to 64 of the characters A-Z a-z 0-9 . _ -", piece)
    return name


def meter_name(piece: Piece) -> str:
    """Return a meter's name: 1 to 128 characters, none of them a control character."""
    return _short_text(piece, "a meter's name", _MAX_METER_CHARACTERS)


def property_name(piece: Piece) -> str:
    """Return the metadata key that a meter sums: 1 to 40 characters, none of the service's own."""
    name = _short_text(piece, "a property's name", _MAX_PROPERTY_CHARACTERS)
    if name in _RESERVED_PROPERTIES:
        reserved = ", ".join(_RESERVED_PROPERTIES)
        raise PieceError(piece.place, f"{shown(name)} is written by the service itself, as are {reserved}")
    return name


def product_id(piece: Piece) -> str:
    """Return a product's id in lower case."""
    # Whatever YAML takes it for, the text is what was written.
    if not isinstance(piece, Scalar) or not _PRODUCT_ID.fullmatch(piece.text):
        raise expected("a product's id, such as 5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11", piece)
    return piece.text.lower()


def moment(piece: Piece) -> datetime:
    """Return a point in time, in UTC; a date alone or a time without a zone is none."""
    what = f"a time such as {_TIME_EXAMPLE}"
    if not isinstance(piece, Scalar):
        raise expected(what, piece)
    if re.fullmatch(_DATE, piece.text):
        hint = f"a date alone leaves the moment open; write {piece.text}T00:00:00Z"
        raise PieceError(piece.place, hint)
    match = _TIME.fullmatch(piece.text)
    if match is None:
        raise expected(what, piece)
    if match["zone"] is None:
        hint = f"{shown(piece.text)} has no time zone; add Z for UTC, as in {_TIME_EXAMPLE}"
        raise PieceError(piece.place, hint)
    try:
        return datetime.fromisoformat(piece.text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PieceError(piece.place, f"there is no such time as {shown(piece.text)}") from None


def amount(piece: Piece) -> Decimal:
    """Return a positive number of credits, exactly as written."""
    text = _scalar(piece, Kind.NUMBER, "a number").text
    if not _PLAIN_NUMBER.fullmatch(text):
        # 1_000, 0x10, 010 (eight), 1:30 (ninety), .inf: numbers to YAML, riddles to a reader.
        raise expected("plain digits, such as 1000 or 0.5", piece)
    digits = len(text.replace(".", "").strip("-0"))
    if digits > MOST_DIGITS:
        raise PieceError(
            piece.place,
            f"{shown(text)} has {digits} significant digits; at most {MOST_DIGITS} stay exact",
        )
    return _within_bounds(Decimal(text), piece)


def _within_bounds(credits_: Decimal, piece: Piece) -> Decimal:
    if credits_ <= 0:
        raise expected("more than 0", piece)
    if credits_ < _FEWEST_CREDITS:
        raise expected(f"at least {_FEWEST_CREDITS:f}", piece)
    if credits_ >= _TOO_MANY_CREDITS:
        raise expected(f"less than {_TOO_MANY_CREDITS:,}", piece)
    return credits_


def _scalar(piece: Piece, kind: Kind, what: str) -> Scalar:
    if not isinstance(piece, Scalar) or piece.kind is not kind:
        raise expected(what, piece)
    return piece


def _text(piece: Piece, what: str) -> str:
    if isinstance(piece, Scalar) and piece.kind in {Kind.NUMBER, Kind.BOOLEAN, Kind.TIME}:
        message = f"YAML reads this as a {piece.kind}; quote it: {shown(piece.text)}"
        raise PieceError(piece.place, message)
    return _scalar(piece, Kind.TEXT, what).text


def _short_text(piece: Piece, what: str, most_characters: int) -> str:
    text = _text(piece, what)
    if not 1 <= len(text) <= most_characters:
        raise expected(f"{what} of 1 to {most_characters} characters", piece)
    if _UNWRITABLE.search(text):
        raise expected(f"{what} without control characters", piece)
    return text
