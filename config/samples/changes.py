"""Changes fields of a webhook's body, so that a rule can be tried on values that no sample has."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from config.wording import closest, joined, quoted

_FREE = ("metadata", "custom_field_data")  # objects whose keys the merchant chooses
_OBJECTS = ("order", "subscription", "customer", "product")


class ChangeError(Exception):
    """A change cannot be made; the text says why."""


def apply_changes(body: bytes, changes: Sequence[str]) -> bytes:
    """Return the body with each change, such as ``order.metadata.plan=gold``; ChangeError with a message.

    A path begins as in the rules, with order, subscription, customer or product. A value is JSON, or else
    text.
    """
    if not changes:
        return body
    try:
        whole = json.loads(body)
        objects = _objects(whole)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ChangeError("the body is not a webhook: only its own fields can be changed") from None
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals:
            raise ChangeError(f"{quoted(change)} has no value: write a path, = and a value")
        _set(objects, path.strip().split("."), _value(value))
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


def _objects(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the objects that rules see, by their names there."""
    kind, data = str(whole.get("type")).partition(".")[0], whole["data"]
    own = {kind: data} if kind in _OBJECTS else {}
    return own | {name: data[name] for name in _OBJECTS if isinstance(data.get(name), dict)}


def _set(objects: dict[str, Any], path: Sequence[str], value: Any) -> None:
    if len(path) < 2:  # noqa: PLR2004 - an object and its field
        raise ChangeError(f"{quoted('.'.join(path))} is not a path such as order.metadata.plan")
    parent: Any = objects
    for number, name in enumerate(path[:-1], start=1):
        _require(parent, name, path[:number])
        parent = parent[name]
    if not (path[-2] in _FREE and isinstance(parent, dict)):
        _require(parent, path[-1], path)
    parent[path[-1]] = value


def _require(parent: Any, name: str, path: Sequence[str]) -> None:
    if not isinstance(parent, dict):
        raise ChangeError(f"{'.'.join(path[:-1])} is not an object in this webhook")
    if name not in parent:
        close = closest(name, parent)
        hint = f"did you mean {quoted(close)}?" if close else f"there are {joined(parent)}"
        raise ChangeError(f"this webhook has no {'.'.join(path)}; {hint}")


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON: they are text
