"""Writes docs/cli.md (``make docs``) from the commands and the types of their JSON."""

import re
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from app.cli.commands import COMMANDS
from app.cli.printed import PRINTED
from app.cli.root import import_command, root

_WIDTH = 100  # the help looks the same on any terminal, with few lines broken

_INTRODUCTION = """\
# The command line

Generated from the commands by `make docs`. `credits COMMAND --help` prints the same.

The exit status is 0 for success, 1 for failure, 2 for wrong usage. Results go to standard output, logs and
errors to standard error. Colours are used only on a terminal, and not if `NO_COLOR` is set.

On a terminal, a command that grants shows its plan and asks for confirmation. `--dry-run` stops after the
plan; `--yes` skips the question. A script cannot be asked: there `replay`, `backfill`, `adjust`,
`recover`, `rebuild` and `forget` refuse to run without `--yes`. `grant` and `revoke` run without it, because
nothing is granted or taken back twice.

`credits --show-completion SHELL` prints a script with which bash, zsh or fish completes commands and options.
For bash, write it to `~/.local/share/bash-completion/completions/credits`; for fish, to
`~/.config/fish/completions/credits.fish`; for zsh, put `eval "$(credits --show-completion zsh)"` into
`~/.zshrc`.

With `--json` a command prints one array or object. The fields below are stable; new ones may be added. A
field whose name ends in `_at` is a time in UTC, as in `2026-11-01T12:00:00Z`. With `--json`, `up`, `serve`
and `work` log one object per line.
"""

_NAMES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
    Any: "anything",
}


def reference() -> str:
    """Return docs/cli.md."""
    with root.make_context("credits", [], resilient_parsing=True) as context:
        commands = [part for name in COMMANDS for part in _command(name, import_command(name), context)]
    described = [_shape(one) for one in _all_shapes()]
    parts = [_INTRODUCTION.strip(), "## Commands", *commands, "## What `--json` prints", *described]
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: Any, parent: Any) -> Iterator[str]:
    yield f"### credits {name}"
    yield _help(name, command, parent)
    if name in PRINTED:
        printed = [f"{_type_text(shape)} {when}".rstrip() for when, shape in PRINTED[name].items()]
        yield f"`--json`: {'; '.join(printed)}."
    for inner, one in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {inner}", one, parent)


def _help(name: str, command: Any, parent: Any) -> str:
    with command.make_context(
        name, [], parent=parent, resilient_parsing=True, terminal_width=_WIDTH, max_content_width=_WIDTH
    ) as context:
        text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
    return f"```\n{text}\n```"


def _shape(shape: Any) -> str:
    rows = [
        f"| `{field}` | {_type_text(_bare(hint))} | {_note(hint)}"
        for field, hint in get_type_hints(shape, include_extras=True).items()
    ]
    table = "\n".join(["| field | type | |", "| --- | --- | --- |", *(f"{row.rstrip()} |" for row in rows)])
    return f"### {_name(shape)}\n\n{shape.__doc__}\n\n{table}"


def _all_shapes() -> list[Any]:
    """Return the type of every object that is printed, each once."""
    found: dict[Any, None] = {}

    def visit(hint: Any) -> None:
        if is_typeddict(hint) and hint not in found:
            found[hint] = None
            for inner in get_type_hints(hint).values():
                visit(inner)
        for inner in get_args(hint):
            visit(inner)

    for printed in PRINTED.values():
        for shape in printed.values():
            visit(shape)
    return sorted(found, key=_name)


def _type_text(hint: Any) -> str:
    """Return a type in the words of JSON."""
    if is_typeddict(hint):
        return f"[{_name(hint)}](#{_name(hint)})"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return ", ".join(f"`{one.value}`" for one in hint)
    return _composed(get_origin(hint), get_args(hint)) or _NAMES[hint]


def _composed(origin: Any, args: tuple[Any, ...]) -> str:
    if origin is list:
        return f"array of {_type_text(args[0])}"
    if origin is dict:
        return f"object of {_type_text(args[1])}"
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in args)
    return " or ".join(map(_type_text, args))


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _note(hint: Any) -> str:
    return str(get_args(hint)[1]) if get_origin(hint) is Annotated else ""


def _name(shape: Any) -> str:
    return re.sub("(?<=[a-z])(?=[A-Z])", "-", str(shape.__name__).removesuffix("Json")).lower()


if __name__ == "__main__":
    sys.stdout.write(reference())
