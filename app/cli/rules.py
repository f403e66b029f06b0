"""``credits rules``: help with writing the rules file."""

import sys

import click

from app.cli.rules_watch import watch
from config.rules.schema import schema_text


@click.group("rules")
def rules() -> None:
    """Help with writing the rules file.

    Example: credits rules schema
    """


@rules.command("schema")
@click.option("--json", is_flag=True, expose_value=False, help="Has no effect: the schema is JSON anyway.")
def schema() -> None:
    """Print the JSON Schema of the rules file, for editors.

    First line of a rules file: # yaml-language-server: $schema=rules.schema.json

    Example: credits rules schema > rules.schema.json
    """
    sys.stdout.write(schema_text())


rules.add_command(watch)
