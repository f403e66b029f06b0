"""``credits check``: everything that would keep credits from being granted, all at once."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import typer
from redis.exceptions import RedisError
from rich.text import Text

from app.cli.output import Cell, print_json, print_table
from app.cli.root import Json, root, settings_for
from config.errors import ConfigError
from config.rules import RulesError, load_rules
from config.settings import Settings
from workers.health import durability_faults
from workers.runtime import require_secrets, require_token, stores

_SHORTEST_SECRET = 16  # Polar makes them of 32 random characters behind a prefix


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at, and what is to be said of it."""

    level: Literal["error", "warning", "ok"]
    what: str
    detail: str


@root.command()
def check(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask Polar.")] = False,
    json: Json = False,
) -> None:
    """Check settings, rules and Redis.

    Shows every problem at once; exit status 1 on errors.

    Example: credits check --offline
    """
    order = {"error": 0, "warning": 1, "ok": 2}
    findings = sorted(_findings(offline=offline), key=lambda one: order[one.level])
    if json:
        print_json([asdict(one) for one in findings])
    else:
        rows: list[list[Cell]] = [[_level_text(one.level), one.what, one.detail] for one in findings]
        print_table(["", "", ""], rows)
    if any(one.level == "error" for one in findings):
        raise typer.Exit(1)


def _findings(*, offline: bool) -> Iterator[Finding]:
    try:
        settings = settings_for("check", quiet=True)
    except ConfigError as error:
        for problem in str(error).splitlines():
            yield Finding(level="error", what="settings", detail=problem)
        return
    yield from _settings(settings)
    yield from _rules(settings)
    yield from _redis(settings)
    if not offline:
        yield Finding(level="warning", what="polar", detail="not asked: this version checks offline only")


def _settings(settings: Settings) -> Iterator[Finding]:
    for require, what in ((require_token, "token"), (require_secrets, "secret")):
        try:
            require(settings)
        except ConfigError as error:
            yield Finding(level="error", what=what, detail=str(error))
        else:
            yield Finding(level="ok", what=what, detail="set")
    for secret in settings.webhook_secrets:
        if len(secret) < _SHORTEST_SECRET:
            detail = "one is too short to be one of Polar's: was it cut off when it was copied?"
            yield Finding(level="warning", what="secret", detail=detail)
    yield Finding(level="ok", what="server", detail=settings.polar_url)


def _rules(settings: Settings) -> Iterator[Finding]:
    try:
        rules = load_rules(settings.rules_path)
    except RulesError as error:
        for problem in error.problems:
            yield Finding(level="error", what="rules", detail=str(problem))
        return
    except ConfigError as error:
        yield Finding(level="error", what="rules", detail=str(error))
        return
    if not rules.rules:
        yield Finding(level="warning", what="rules", detail=f"{settings.rules_path} grants nothing")
    else:
        count = f"{len(rules.rules)} rules, {len(rules.meters)} meters"
        yield Finding(level="ok", what="rules", detail=f"{settings.rules_path}: {count}")


def _redis(settings: Settings) -> Iterator[Finding]:
    try:
        with stores(settings) as held:
            faults = durability_faults(held.redis)
    except (ConfigError, RedisError, OSError) as error:
        yield Finding(level="error", what="redis", detail=str(error))
        return
    for fault in faults:
        yield Finding(level="error", what="redis", detail=fault)
    if not faults:
        where = "REDIS_URL" if settings.redis_url else f"embedded, in {settings.data_dir}"
        yield Finding(level="ok", what="redis", detail=where)


def _level_text(level: str) -> Text:
    return Text(level, style={"error": "red", "warning": "yellow", "ok": "green"}[level])
