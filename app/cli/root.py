"""The root command, ``credits``, made of the table of commands."""

import gc
from importlib import import_module
from typing import cast

import click

from app.cli.commands import COMMANDS
from config.version import VERSION

_SHELLS = ("bash", "zsh", "fish")
_INTERRUPTED = 130  # as shells count it: 128 and the number of the signal


class _LazyGroup(click.Group):
    """Knows the name and the help line of each command; imports a command only to run it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write each section with its commands."""
        widest = max(map(len, self.commands))
        for section in dict.fromkeys(row.section for row in COMMANDS.values()):
            rows = [(name, row.help) for name, row in COMMANDS.items() if row.section == section]
            with formatter.section(section):
                formatter.write_dl([(name.ljust(widest), help_line) for name, help_line in rows])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with, imported, and the other arguments."""
        name, found, others = super().resolve_command(ctx, args)
        return name, (import_command(name) if name and found else None), others

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Ctrl-C ends it silently, with the exit status that shells expect."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_INTERRUPTED) from None


def import_command(name: str) -> click.Command:
    """Return the command of this name, or the group of commands."""
    gc.disable()  # imports leave no garbage, and the search for it takes a tenth of their time
    try:
        return cast(click.Command, getattr(import_module(f"app.cli.{name}"), name))
    finally:
        # Imported objects live until the process ends. Python would search all of them for garbage before
        # it exits; that takes a seventh of the time of most commands.
        gc.freeze()
        gc.enable()


def _print_completion(context: click.Context, _option: click.Parameter, shell: str | None) -> None:
    if shell is None:
        return
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - seldom needed

    if kind := get_completion_class(shell):
        click.echo(kind(root, {}, "credits", "_CREDITS_COMPLETE").source())
    context.exit()


@click.group(
    "credits",
    cls=_LazyGroup,
    commands=[click.Command(name, help=row.help) for name, row in COMMANDS.items()],
)
@click.version_option(VERSION, message="%(version)s", help="Print the version.")
@click.option(
    "--show-completion",
    type=click.Choice(_SHELLS),
    callback=_print_completion,
    expose_value=False,
    is_eager=True,
    help="Print the completion script for this shell.",
)
def root() -> None:
    """Turns paid Polar orders into usage credits, once, by rules you write in YAML."""
