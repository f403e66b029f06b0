"""The root command, ``credits``, made of the table of commands."""

import gc
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.core

from app.cli.commands import COMMANDS
from config.version import VERSION


class _LazyGroup(typer.core.TyperGroup):
    """Holds only the name and the help line of each command, until one of them is to run.

    It lists them in sections: Typer's own sections need its boxes, which fill a screen.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Click names it
        """Write each section with its commands."""
        widest = max(map(len, self.commands))
        for section in dict.fromkeys(row.section for row in COMMANDS.values()):
            rows = [(name, row.help) for name, row in COMMANDS.items() if row.section == section]
            with formatter.section(section):
                formatter.write_dl([(name.ljust(widest), help_line) for name, help_line in rows])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments begin with, imported, and the other arguments."""
        name, found, others = super().resolve_command(ctx, args)
        return name, (import_command(name) if name and found else None), others


def import_command(name: str) -> Any:
    """Return the command of this name, or the group of commands, as Click knows it."""
    gc.disable()  # imports leave no garbage, and the search for it takes a tenth of their time
    try:
        run = getattr(import_module(f"app.cli.{name}"), name)
    finally:
        gc.enable()
    if not isinstance(run, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(run)
        run = alone
    return typer.main.get_command(run)


def _stand_in() -> None:
    """Stand for a command that is not imported; never called."""


root = typer.Typer(
    name="credits",
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for _name, _row in COMMANDS.items():
    root.command(_name, help=_row.help)(_stand_in)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@root.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turns paid Polar orders into usage credits, once, by rules you write in YAML."""
