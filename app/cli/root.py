"""The root command and what its families share."""

from importlib.metadata import version
from typing import Annotated

import typer

from config.settings import Settings, load_settings
from workers.logs import configure_logging

root = typer.Typer(
    name="credits",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("credit-granter"))
        raise typer.Exit


@root.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turns paid Polar orders into usage credits, once, by rules you write in YAML."""


Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]
JsonLogs = Annotated[bool, typer.Option("--json", help="Log in JSON, one object a line.")]


def settings_for(process: str, *, json_logs: bool = False, quiet: bool = False) -> Settings:
    """Read the settings and set up logging; a command that prints results logs only trouble."""
    settings = load_settings()
    level = "error" if quiet and settings.log_level != "debug" else settings.log_level
    configure_logging("json" if json_logs else settings.log_format, level, process=process)
    return settings
