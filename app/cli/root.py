"""The root command and what its families share."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any

import typer
import typer.core

from app.cli.output import console, literal, where
from config.settings import Settings, load_settings
from workers.monitoring.logs import configure_logging
from workers.store.stores import Stores, stores

SECTIONS = {
    "Run": ("up", "serve", "work", "demo"),
    "Check": ("check", "send", "rules"),
    "See": ("status", "deliveries", "show", "explain", "grants", "balance"),
    "Mend": ("replay", "dismiss", "backfill", "recover", "rebuild"),
    "By hand": ("grant", "revoke", "forget"),
}
"""Every command, in the order of ``credits --help``."""


class _Sections(typer.core.TyperGroup):
    """The commands in sections, which Typer has for its boxes alone: those fill a screen."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in our order."""
        ordered = [name for names in SECTIONS.values() for name in names]
        return sorted(super().list_commands(ctx), key=ordered.index)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Click names it
        """Write a section each."""
        widest = max(map(len, self.commands))
        for section, names in SECTIONS.items():
            found = [(name, self.commands[name]) for name in names if name in self.commands]
            with formatter.section(section):
                formatter.write_dl(
                    [(name.ljust(widest), one.get_short_help_str(limit=100)) for name, one in found]
                )


root = typer.Typer(
    name="credits",
    cls=_Sections,
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


Json = Annotated[bool, typer.Option("--json", help="Print for machines (docs/cli.md has the fields).")]
JsonLogs = Annotated[bool, typer.Option("--json", help="Log in JSON, one object a line.")]


@contextmanager
def opened(settings: Settings) -> Iterator[Stores]:
    """Yield the stores; says so if an embedded one is empty: who expects something is in the wrong folder."""
    with stores(settings) as held:
        if settings.redis_url is None and not held.redis.dbsize():
            console(stderr=True).print(literal(f"nothing is stored here yet: {where(settings)}"))
        yield held


def settings_for(process: str, *, json_logs: bool = False, quiet: bool = False) -> Settings:
    """Read the settings and set up logging; a command that prints results logs only trouble."""
    settings = load_settings()
    level: str = settings.log_level
    if quiet and level != "debug":
        # On a terminal even what failed is told by the result alone, and not amid it.
        level = "critical" if sys.stderr.isatty() else "error"
    configure_logging("json" if json_logs else settings.log_format, level, process=process)
    return settings
