"""Parses command lines of ``credits`` without running them."""

from collections.abc import Sequence

import typer.core

from app.cli.root import root


def parse_command(words: Sequence[str]) -> None:
    """Parse a command line that begins with ``credits``; a click error if no such command can be run."""
    program, name, *options = words
    assert program.rpartition("/")[2] == "credits"
    group = typer.main.get_command(root)
    assert isinstance(group, typer.core.TyperGroup)
    with group.commands[name].make_context(name, options) as context:
        assert context.info_name == name
