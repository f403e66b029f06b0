"""Reads what others wrote into structs of the fields that we use, and says what is wrong with it."""

from datetime import MAXYEAR, datetime
from typing import Annotated, Any, Generic, TypeVar

from msgspec import DecodeError, Meta, Struct, ValidationError, convert
from msgspec.json import Decoder, encode
from msgspec.structs import force_setattr
from pydantic_core import from_json

from config.ids import read_id
from workers.errors import UnreadablePayloadError

Moment = Annotated[datetime, Meta(tz=True)]

# Amounts become part of a key, so their length is bounded.
Cents = Annotated[int, Meta(ge=-(10**15), le=10**15)]
NonNegativeCents = Annotated[int, Meta(ge=0, le=10**15)]

Shape = TypeVar("Shape")

# Times outside these years cannot be converted to every zone, or are in 1969 there: our scripts expect none.
_YEARS = range(1971, MAXYEAR)


class _FieldError(ValueError):
    """A field has the right type, and a value that we cannot use."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


def spell_ids(view: Struct, *fields: str) -> None:
    """Reduce ids to one spelling, because they become part of keys; ValueError if one is not a UUID."""
    for field in fields:
        text = getattr(view, field)
        try:
            spelled = None if text is None else read_id(text)
        except ValueError as error:
            raise _FieldError(field, str(error)) from None
        if spelled != text:
            force_setattr(view, field, spelled)


def check_years(view: Struct, *fields: str) -> None:
    """Raise ValueError if a time cannot be converted to every time zone."""
    for field in fields:
        moment = getattr(view, field)
        try:
            if moment is not None:
                in_range(moment)
        except ValueError as error:
            raise _FieldError(field, str(error)) from None


def in_range(moment: datetime) -> datetime:
    """Return a time; ValueError if it cannot be converted to every time zone."""
    if moment.year not in _YEARS:
        raise ValueError("not a time between 1971 and 9998")
    return moment


class BodyReader(Generic[Shape]):
    """Reads the bodies of webhooks into structs of one shape."""

    def __init__(self, shape: type[Shape]) -> None:
        self._shape = shape
        self._decode = Decoder(shape).decode

    def read(self, body: bytes) -> Shape:
        """Return what a body holds; UnreadablePayloadError names the first problem."""
        try:
            body.decode()  # msgspec passes over what no field needs, whatever its bytes are
            return self._decode(body)
        except ValidationError as error:
            raise _unreadable(error) from None
        except (DecodeError, RecursionError, UnicodeDecodeError):
            # Fields that we do not use may hold what JSON lacks, such as NaN.
            return read_row(self._shape, parse(body))


def parse(body: bytes) -> Any:
    """Return all that a body holds; UnreadablePayloadError if that is no JSON. NaN and infinity are read."""
    try:
        return from_json(body, cache_strings="keys")  # most values never come again; 16,384 would be kept
    except ValueError as error:
        raise _unreadable(error) from None


def read_row(shape: type[Shape], row: Any) -> Shape:
    """Return what was parsed as a struct; UnreadablePayloadError names the first problem.

    Polar's lists are parsed by json, which reads half of a surrogate pair; nothing could store it.
    """
    try:
        read = convert(row, shape)
        encode(read)
    except UnicodeEncodeError:
        raise _unreadable(ValueError("a text holds half a character")) from None
    except ValidationError as error:
        raise _unreadable(error) from None
    return read


def _unreadable(error: Exception) -> UnreadablePayloadError:
    return UnreadablePayloadError(f"the body cannot be read: {_problem(error)}")


def _problem(error: Exception) -> str:
    """Return what is wrong, and where, without the value, because a body may be hostile."""
    problem, _, place = str(error).partition(" - at `$")
    place = place.strip(".`")
    cause = error.__cause__
    if isinstance(cause, _FieldError):
        place = f"{place}.{cause.field}".lstrip(".")
    return f"{place or 'body'}: {problem}"
