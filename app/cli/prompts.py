"""Asks for confirmation before a command changes anything."""

import sys

import click


def confirm(action: str, *, yes: bool, scripts_may: bool = False) -> bool:
    """Return whether to go on with ``action``, such as "replay 2 deliveries"; ``yes`` skips the question.

    A script cannot be asked: unless ``scripts_may``, it has to pass ``--yes`` or the command is refused.
    """
    if yes:
        return True
    if sys.stdin.isatty():
        return click.confirm(f"{action[0].upper()}{action[1:]}?", err=True)
    if scripts_may:
        return True
    raise click.UsageError(f"this would {action}; add --yes to confirm")
