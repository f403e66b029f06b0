"""``credits check``: everything that would keep credits from being granted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import click
from rich.text import Text

from app.cli.check_annotations import annotations
from app.cli.options import json_option
from app.cli.output import Cell, console, describe_store, literal, print_json, print_table
from app.cli.settings import read_settings
from app.cli.shapes import FindingJson
from config.errors import ConfigError
from config.rules import Rules
from config.settings import Settings
from workers.core.findings import Finding
from workers.operations.check.endpoint import wanted_by
from workers.operations.check.local import (
    check_redis,
    check_rules,
    check_setting_names,
    check_settings,
    unreadable_settings,
)
from workers.operations.check.survey import survey
from workers.runtime.polar import polar_for


@click.command("check")
@click.option("--offline", is_flag=True, help="Do not contact Polar.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="github: annotations for GitHub Actions; json is --json.",
)
@json_option
def check(offline: bool, format_: str, json: bool) -> None:
    """Check the settings, the rules, Redis and Polar.

    At Polar it checks the token, the meters and the products. Lists all problems at once, errors first; the
    exit status is 1 if there are errors. Changes nothing.

    Example: credits check

    Example: credits check --offline --format github
    """
    if json and format_ == "github":
        raise click.UsageError("give either --json or --format github")
    order = {"error": 0, "warning": 1, "ok": 2}
    found = sorted(find_all(offline=offline), key=lambda one: order[one.level])
    if json or format_ == "json":
        print_json(findings_json(found))
    elif format_ == "github":
        for line in annotations(found):
            console().print(literal(line))
    else:
        print_findings(found)
    if any(one.level == "error" for one in found):
        raise click.exceptions.Exit(1)


def find_all(*, offline: bool = False, wait: Callable[[float], object] | None = None) -> Iterator[Finding]:
    """Yield all findings; ``wait`` waits out Polar's rate limit, which is a finding otherwise."""
    yield from check_setting_names()
    try:
        settings = read_settings("check")
    except ConfigError as error:
        yield from unreadable_settings(error)
        return
    yield from check_settings(settings, offline=offline)
    rules = yield from check_rules(settings)
    yield from check_redis(settings, describe_store(settings))
    if not offline and _is_token_usable(settings):
        yield from _polar(settings, rules, wait)


def _is_token_usable(settings: Settings) -> bool:
    try:
        return bool(settings.require_token())
    except ConfigError:  # the problem is listed already
        return False


def _polar(
    settings: Settings, rules: Rules | None, wait: Callable[[float], object] | None
) -> Iterator[Finding]:
    try:
        with closing(polar_for(settings, wait=wait)) as polar:
            yield from survey(polar, rules, wanted_by(settings))
    except ConfigError as error:
        yield Finding(level="error", what="network", detail=str(error))


def print_findings(found: Sequence[Finding]) -> None:
    """Print the findings as a table."""
    rows: list[list[Cell]] = [[_level_text(one.level), one.what, one.detail] for one in found]
    print_table(["", "", ""], rows)


def findings_json(found: Sequence[Finding]) -> list[FindingJson]:
    """Return the findings as ``--json`` prints them."""
    return [{"level": one.level, "what": one.what, "detail": one.detail} for one in found]


def _level_text(level: str) -> Text:
    return Text(level, style={"error": "red", "warning": "yellow", "ok": "green"}[level])
