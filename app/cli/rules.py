"""``credits rules``: help with writing the rules file."""

import sys
from typing import Annotated

import typer

from app.cli.rules_watch import watch
from config.rules.schema import schema_text

rules = typer.Typer(name="rules", add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@rules.callback()
def _rules() -> None:
    """Help with writing the rules file.

    Example: credits rules schema
    """


@rules.command()
def schema(
    _json: Annotated[bool, typer.Option("--json", help="Has no effect: the schema is JSON anyway.")] = False,
) -> None:
    """Print the JSON Schema of the rules file, for editors.

    First line of a rules file: # yaml-language-server: $schema=rules.schema.json

    Example: credits rules schema > rules.schema.json
    """
    sys.stdout.write(schema_text())


rules.command()(watch)
