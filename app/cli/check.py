"""``credits check``: everything that would keep credits from being granted."""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Annotated

import typer
from rich.text import Text

from app.cli.context import read_settings
from app.cli.options import Json
from app.cli.output import Cell, describe_store, format_count, print_json, print_table
from app.cli.shapes import FindingJson
from config.errors import ConfigError
from config.rules import Rules, RulesError, load_rules
from config.settings import Settings, find_unknown_settings
from workers.core.findings import Finding
from workers.operations.check.survey import survey
from workers.operations.reconcile import NEEDS_CREDIT_FROM
from workers.runtime import polar_for
from workers.store.server_check import redis_findings
from workers.store.stores import stores

_SHORTEST_SECRET = 16  # Polar's have 32 random characters after a prefix


def check(
    offline: Annotated[bool, typer.Option("--offline", help="Do not contact Polar.")] = False,
    json: Json = False,
) -> None:
    """Check the settings, the rules, Redis and Polar.

    At Polar it checks the token, the meters and the products. Lists all problems at once, errors first; the
    exit status is 1 if there are errors. Changes nothing.

    Example: credits check
    """
    order = {"error": 0, "warning": 1, "ok": 2}
    findings = sorted(_findings(offline=offline), key=lambda one: order[one.level])
    if json:
        print_json([_json(one) for one in findings])
    else:
        rows: list[list[Cell]] = [[_level_text(one.level), one.what, one.detail] for one in findings]
        print_table(["", "", ""], rows)
    if any(one.level == "error" for one in findings):
        raise typer.Exit(1)


def _findings(*, offline: bool) -> Iterator[Finding]:
    for unknown in find_unknown_settings():
        yield Finding(level="warning", what="settings", detail=unknown)
    try:
        settings = read_settings("check", quiet=True)
    except ConfigError as error:
        for problem in str(error).splitlines():
            yield Finding(level="error", what="settings", detail=problem)
        return
    yield from _settings(settings)
    rules = yield from _rules(settings)
    yield from _redis(settings)
    if not offline and settings.access_token is not None:
        yield from _polar(settings, rules)


def _settings(settings: Settings) -> Iterator[Finding]:
    for require, what in ((settings.require_token, "token"), (settings.require_secrets, "secret")):
        try:
            require()
        except ConfigError as error:
            yield Finding(level="error", what=what, detail=str(error))
        else:
            yield Finding(level="ok", what=what, detail="set")
    for secret in settings.webhook_secrets:
        if len(secret) < _SHORTEST_SECRET:
            detail = "one is shorter than Polar's secrets: was it cut off when it was copied?"
            yield Finding(level="warning", what="secret", detail=detail)
    yield Finding(level="ok", what="server", detail=settings.polar_server)
    detail = (
        "set"
        if settings.alert_url
        else "CREDITS_ALERT_URL is not set: nobody is notified of failed deliveries"
    )
    yield Finding(level="ok", what="alerts", detail=detail)


def _rules(settings: Settings) -> Generator[Finding, None, Rules | None]:
    try:
        rules = load_rules(settings.rules_path)
    except RulesError as error:
        for problem in error.problems:
            yield Finding(level="error", what="rules", detail=str(problem))
        return None
    except ConfigError as error:
        yield Finding(level="error", what="rules", detail=str(error))
        return None
    if not rules.rules:
        yield Finding(level="warning", what="rules", detail=f"{settings.rules_path} grants nothing")
    else:
        count = f"{format_count(len(rules.rules), 'rule')}, {format_count(len(rules.meters), 'meter')}"
        yield Finding(level="ok", what="rules", detail=f"{settings.rules_path}: {count}")
    if settings.reconcile_every and rules.credit_from is None:
        yield Finding(level="error", what="rules", detail=NEEDS_CREDIT_FROM)
    for warning in rules.warnings:
        yield Finding(level="warning", what="rules", detail=str(warning))
    return rules


def _redis(settings: Settings) -> Iterator[Finding]:
    try:
        with stores(settings) as held:
            found = redis_findings(held.redis)
    except ConfigError as error:
        found = [Finding(level="error", what="redis", detail=str(error))]
    yield from found
    if not found:
        yield Finding(level="ok", what="redis", detail=describe_store(settings))


def _polar(settings: Settings, rules: Rules | None) -> Iterator[Finding]:
    try:
        with closing(polar_for(settings)) as polar:
            yield from survey(polar, rules)
    except ConfigError:
        return  # the problem with the token is listed already
    except ImportError as error:  # a proxy in the environment that needs a package
        detail = f"{settings.polar_url} cannot be reached: {error}"
        yield Finding(level="error", what="server", detail=detail)


def _json(one: Finding) -> FindingJson:
    return {"level": one.level, "what": one.what, "detail": one.detail}


def _level_text(level: str) -> Text:
    return Text(level, style={"error": "red", "warning": "yellow", "ok": "green"}[level])
