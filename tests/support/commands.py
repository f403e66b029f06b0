"""Parses command lines of ``credits`` without running them."""

from collections.abc import Sequence

from app.cli.commands import COMMANDS
from app.cli.root import import_command


def parse_command(words: Sequence[str]) -> None:
    """Parse a command line that begins with ``credits``; a click error if no such command can be run."""
    program, name, *options = words
    assert program.rpartition("/")[2] == "credits"
    assert name in COMMANDS
    with import_command(name).make_context(name, options) as context:
        assert context.info_name == name
