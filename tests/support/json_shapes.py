"""Checks that JSON output has exactly the fields that docs/cli.md promises."""

from enum import StrEnum
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from app.cli.printed import PRINTED

_JSON: dict[Any, Any] = {str: str, int: int, bool: bool, float: (int, float), type(None): type(None)}


def assert_as_promised(command: str, value: Any) -> None:
    """Raise AssertionError with the value if it fits none of the shapes of ``command``."""
    if command in PRINTED:
        assert any(fits(value, shape) for shape in PRINTED[command].values()), value


def fits(value: Any, hint: Any) -> bool:
    """Return whether a JSON value has the type ``hint``."""
    if is_typeddict(hint):
        fields = get_type_hints(hint)
        return (
            isinstance(value, dict)
            and set(value) == set(fields)
            and all(fits(value[name], kind) for name, kind in fields.items())
        )
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return isinstance(value, str) and value in set(hint)
    args, origin = get_args(hint), get_origin(hint)
    if origin is list:
        return isinstance(value, list) and all(fits(one, args[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(one, args[1]) for one in value.values())
    if origin in {Literal, Annotated}:
        return value in args if origin is Literal else fits(value, args[0])
    return hint is Any or any(fits(value, one) for one in args) or isinstance(value, _JSON.get(hint, ()))
