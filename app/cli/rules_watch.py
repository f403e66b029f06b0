"""``credits rules watch``: check the rules file at each save, and show the lines with problems."""

import json as json_module
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

import click
from msgspec import Struct
from rich.text import Text

from app.cli.excerpts import excerpt
from app.cli.output import console, literal
from app.cli.settings import read_settings
from app.cli.shapes import RulesCheckJson
from config.errors import ConfigError
from config.rules import Problem, RulesError, load_rules
from config.wording import format_count

_POLL_SECONDS = 0.3
_COLOURS = {"error": "red", "warning": "yellow"}


class _Checked(Struct, frozen=True, kw_only=True):
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    summary: str = ""
    """What the file holds; or why it cannot be read at all."""
    is_usable: bool = True

    @property
    def problems(self) -> Iterator[tuple[Literal["error", "warning"], Problem]]:
        """Yield each problem with its level."""
        yield from (("error", one) for one in self.errors)
        yield from (("warning", one) for one in self.warnings)


@click.command("watch")
@click.option("--json", is_flag=True, help="Print one object per line for each check.")
def watch(json: bool) -> None:
    """Check the rules file now and at each save, until Ctrl-C.

    Shows each problem with the line that has it. `credits check` checks the rest of the setup, too.

    Example: credits rules watch
    """
    path = read_settings("rules").rules_path
    try:
        for _ in _saves(path):
            (_print_json if json else _print)(path, _check(path))
    except KeyboardInterrupt:
        return


def _saves(path: Path) -> Iterator[None]:
    """Yield once now, and then each time that the file has changed and is still again."""
    checked = _signature(path)
    yield
    while True:
        time.sleep(_POLL_SECONDS)
        seen, changed = _signature(path), checked
        while seen != changed:  # somebody is writing it
            time.sleep(_POLL_SECONDS)
            seen, changed = _signature(path), seen
        if seen != checked:
            checked = seen
            yield


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when the file is saved or replaced; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _check(path: Path) -> _Checked:
    try:
        rules = load_rules(path)
    except RulesError as error:
        return _Checked(errors=error.problems, is_usable=False)
    except ConfigError as error:
        return _Checked(summary=str(error), is_usable=False)
    counts = f"{format_count(len(rules.rules), 'rule')}, {format_count(len(rules.meters), 'meter')}"
    return _Checked(warnings=rules.warnings, summary=f"{path}: {counts}")


def _print(path: Path, checked: _Checked) -> None:
    out = console()
    for level, one in checked.problems:
        out.print(Text.assemble((level, _COLOURS[level]), " ", literal(str(one))))
        for line in excerpt(_lines(path), one):
            out.print(literal(line))
    total = checked.summary or format_count(len(checked.errors), "error")
    verdict = ("ok", "green") if checked.is_usable else ("unusable", "red")
    out.print(Text.assemble(f"{datetime.now():%H:%M:%S} ", verdict, " ", literal(total)))  # noqa: DTZ005 - the user's clock
    sys.stdout.flush()


def _print_json(path: Path, checked: _Checked) -> None:
    found: RulesCheckJson = {
        "file": str(path),
        "usable": checked.is_usable,
        "summary": checked.summary,
        "problems": [
            {"level": level, "line": one.line, "column": one.column, "detail": str(one)}
            for level, one in checked.problems
        ],
    }
    sys.stdout.write(json_module.dumps(found) + "\n")
    sys.stdout.flush()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split("\n")
    except OSError:  # it was removed in the meantime
        return []
