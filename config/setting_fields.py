"""Fields of a dataclass that are read from variables of the environment.

Not by pydantic: to import it takes a fifth of the start of the receiver.
"""

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, TypeVar, overload

from config.errors import ConfigError

Value = TypeVar("Value")
Kind = TypeVar("Kind")

_VARIABLE, _READ, _NEEDED = "variable", "read", "needed"  # in the metadata of a field


@overload
def setting(variable: str, read: Callable[[str], Value], default: Value) -> Value: ...
@overload
def setting(
    variable: str, read: Callable[[str], Value], *, needed: tuple[str, str] | None = None
) -> Value | None: ...
def setting(variable: str, read: Callable[[str], Any], default: Any = None, needed: Any = None) -> Any:
    """Return a field that ``read`` makes of a variable; it raises ValueError, with a message, if it cannot.

    ``needed`` names an earlier field that cannot be set without this one, and says so.
    """
    return field(default=default, metadata={_VARIABLE: variable, _READ: read, _NEEDED: needed})


def variables_of(kind: Any) -> tuple[str, ...]:
    """Return the names of the variables from which a dataclass is read."""
    return tuple(one.metadata[_VARIABLE] for one in fields(kind))


def read_fields(kind: type[Kind], variables: Mapping[str, str]) -> Kind:
    """Return a dataclass with what is set; ConfigError has a line for each variable that cannot be used."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for one in fields(kind):  # type: ignore[arg-type] # it is a dataclass
        variable, needed = one.metadata[_VARIABLE], one.metadata[_NEEDED]
        if variable in variables:
            try:
                values[one.name] = one.metadata[_READ](variables[variable])
            except ValueError as error:
                problems.append(f"{variable}: {error}")
        elif needed and needed[0] in values:
            problems.append(f"{variable}: {needed[1]}")
    if problems:
        raise ConfigError("\n".join(problems))
    return kind(**values)
