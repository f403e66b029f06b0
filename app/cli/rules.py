"""``credits rules``: what can be had about the rules file."""

import sys
from typing import Annotated

import typer

from app.cli.root import root
from config.rules.schema import schema_text

_rules = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
root.add_typer(_rules, name="rules")


@_rules.callback()
def rules() -> None:
    """Help with writing the rules file.

    Example: credits rules schema
    """


@_rules.command()
def schema(
    _json: Annotated[bool, typer.Option("--json", help="As without it: a schema is JSON.")] = False,
) -> None:
    """Print the JSON Schema of the rules file, for editors.

    Example: credits rules schema > config/rules.schema.json
    """
    sys.stdout.write(schema_text())
