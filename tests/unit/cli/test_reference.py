"""docs/cli.md and the help of the commands: what they promise is so."""

import re
import shlex
from importlib import import_module
from inspect import cleandoc
from pkgutil import iter_modules
from typing import Any

import click
import pytest

import app.cli
from app.cli.commands import COMMANDS as TABLE
from app.cli.printed import PRINTED
from app.cli.reference import reference
from app.cli.root import import_command
from tests.support.json_shapes import fits
from tests.support.paths import ROOT

COMMANDS: dict[str, Any] = {name: import_command(name) for name in TABLE}
EXAMPLES = [
    example
    for command in COMMANDS.values()
    for one in [command, *getattr(command, "commands", {}).values()]
    for example in re.findall(r"^Example: (.*)$", cleandoc(one.help or ""), re.MULTILINE)
]


def test_the_reference_is_as_the_commands_are() -> None:
    """If this fails: ``make docs``."""
    assert (ROOT / "docs" / "cli.md").read_text() == reference()


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_in_a_help_can_be_parsed(example: str) -> None:
    name, words, *others = shlex.split(example.partition(" > ")[0])
    assert name == "credits"
    command = COMMANDS[words]
    if others and others[0] in getattr(command, "commands", {}):
        command, *others = command.commands[others[0]], *others[1:]
    with command.make_context(words, others) as context:
        assert context.info_name == words


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > len(COMMANDS)


def test_every_command_is_in_the_table() -> None:
    modules = [import_module(one.name) for one in iter_modules(app.cli.__path__, "app.cli.")]
    found = {
        one
        for module in modules
        for one in vars(module).values()
        if isinstance(one, click.Command) and "Example: credits" in (one.help or "")
    }
    listed = {
        one for command in COMMANDS.values() for one in [command, *getattr(command, "commands", {}).values()]
    }
    assert found == listed


@pytest.mark.parametrize("name", TABLE)
def test_the_table_has_the_first_sentence_of_each_help(name: str) -> None:
    assert TABLE[name].help == COMMANDS[name].get_short_help_str(limit=1000)


def test_whatever_a_command_prints_for_machines_is_documented() -> None:
    documented = {
        name
        for name, command in COMMANDS.items()
        for one in [command, *getattr(command, "commands", {}).values()]
        for option in one.params
        if "--json" in option.opts and "Print" in (option.help or "")
    }
    assert documented == PRINTED.keys()


@pytest.mark.parametrize(
    "value",
    [
        {"level": "ok", "what": "token"},
        {"level": "ok", "what": "token", "detail": "set", "more": 1},
        {"level": "fine", "what": "token", "detail": "set"},
        {"level": "ok", "what": "token", "detail": None},
    ],
)
def test_a_field_more_or_less_or_of_another_type_would_be_seen(value: dict[str, Any]) -> None:
    shape = PRINTED["check"][""]
    assert fits([{"level": "ok", "what": "token", "detail": "set"}], shape)
    assert not fits([value], shape)
