"""The root command, ``credits``, made of the table of commands."""

from typing import Annotated, Any

import typer
import typer.core

from app.cli.commands import COMMANDS
from config.version import VERSION


class _SectionedGroup(typer.core.TyperGroup):
    """Lists the commands in sections. Typer's own sections need its boxes, which fill a screen."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order of the table."""
        return sorted(super().list_commands(ctx), key=list(COMMANDS).index)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Click names it
        """Write each section with its commands."""
        widest = max(map(len, self.commands))
        for section in dict.fromkeys(row.section for row in COMMANDS.values()):
            names = [name for name, row in COMMANDS.items() if row.section == section]
            helps = [self.commands[name].get_short_help_str(limit=100) for name in names]
            with formatter.section(section):
                formatter.write_dl(
                    [(name.ljust(widest), text) for name, text in zip(names, helps, strict=True)]
                )


root = typer.Typer(
    name="credits",
    cls=_SectionedGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for _name, _row in COMMANDS.items():
    if isinstance(_row.run, typer.Typer):
        root.add_typer(_row.run, name=_name)
    else:
        root.command(_name)(_row.run)


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
