"""Checks what needs no request to Polar: the settings, the rules file and Redis."""

from collections.abc import Callable, Generator, Iterator

from config.durations import format_duration
from config.errors import ConfigError
from config.rules import Problem, Rules, RulesError, load_rules
from config.setting_names import find_unknown_settings
from config.settings import Settings
from config.wording import format_count
from workers.core.findings import FilePlace, Finding, Level
from workers.core.reconciling import (
    INSTALMENTS_GO_ON,
    NEEDS_CREDIT_FROM,
    NEEDS_RECONCILER,
    needs_disputes,
    wants_disputes,
)
from workers.store.format import format_findings
from workers.store.losses import loss_findings
from workers.store.server_check import clock_findings, redis_findings, tls_findings
from workers.store.stores import stores


def check_setting_names() -> Iterator[Finding]:
    """Yield a warning for each setting whose name is probably misspelt."""
    for unknown in find_unknown_settings():
        yield Finding(level="warning", what="settings", detail=unknown)


def unreadable_settings(error: ConfigError) -> Iterator[Finding]:
    """Yield an error for each problem, one per line of ``error``, that keeps the settings from being read."""
    for problem in str(error).splitlines():
        yield Finding(level="error", what="settings", detail=problem)


def check_settings(settings: Settings, *, offline: bool) -> Iterator[Finding]:
    """Yield findings about the token, the webhook secrets, the Polar server and the alerts.

    With ``offline``, a secret that is not set is only a warning: a build has the rules, but no secrets.
    """
    missing: Level = "warning" if offline else "error"
    yield _secret_finding("token", settings.require_token, "error" if settings.access_token else missing)
    yield _secret_finding("secret", settings.require_secrets, "error" if settings.webhook_secret else missing)
    yield Finding(level="ok", what="server", detail=settings.polar_server)
    yield Finding(level="ok", what="alerts", detail=_describe_alerts(settings))
    yield Finding(level="ok", what="events", detail=_describe_events(settings))


def _secret_finding(what: str, require: Callable[[], object], fault: Level) -> Finding:
    try:
        require()
    except ConfigError as error:
        return Finding(level=fault, what=what, detail=str(error))
    return Finding(level="ok", what=what, detail="set")


def check_rules(settings: Settings) -> Generator[Finding, None, Rules | None]:
    """Yield findings about the rules file; return its rules, or None if they cannot be loaded."""
    try:
        rules = load_rules(settings.rules_path)
    except RulesError as error:
        for problem in error.problems:
            yield _rules_finding("error", problem)
        return None
    except ConfigError as error:
        yield Finding(level="error", what="rules", detail=str(error))
        return None
    yield _count_rules(settings, rules)
    has_credit_from = rules.credit_from is not None
    is_set = settings.reconcile_every(has_credit_from=False) is not None
    if is_set and not has_credit_from and not wants_disputes(rules):
        yield Finding(level="error", what="rules", detail=NEEDS_CREDIT_FROM)
    if settings.reconcile_every(has_credit_from=has_credit_from) is None:
        yield from _missing_reconciler(rules)
    yield Finding(level="ok", what="reconciler", detail=_describe_reconciler(settings, rules))
    for warning in rules.warnings:
        yield _rules_finding("warning", warning)
    return rules


def _missing_reconciler(rules: Rules) -> Iterator[Finding]:
    if needs_disputes(rules):
        yield Finding(level="error", what="rules", detail=NEEDS_RECONCILER)
    elif wants_disputes(rules):
        yield Finding(level="warning", what="rules", detail=INSTALMENTS_GO_ON)


def _describe_reconciler(settings: Settings, rules: Rules) -> str:
    every = settings.reconcile_every(has_credit_from=rules.credit_from is not None)
    if every is not None:
        return f"on, every {format_duration(every)}"
    is_off = rules.credit_from is not None
    why = "CREDITS_RECONCILE_EVERY is off" if is_off else "the rules have no credit_from"
    return f"off, because {why}: what never arrives is granted by `credits backfill` alone"


def _rules_finding(level: Level, one: Problem) -> Finding:
    place = FilePlace(file=one.file, line=one.line, column=one.column)
    return Finding(level=level, what="rules", detail=str(one), place=place)


def check_redis(settings: Settings, store: str) -> Iterator[Finding]:
    """Yield the problems of Redis; if it has none, a confirmation that shows ``store``, its description."""
    try:
        with stores(settings) as held:
            found = [*_tls(settings), *redis_findings(held.redis)]
            is_away = any(one.level == "error" for one in found)
            clock = [] if is_away else clock_findings(held.redis)
            losses = [] if is_away else [*format_findings(held.redis), *loss_findings(held.redis)]
    except ConfigError as error:
        found, clock, losses = [Finding(level="error", what="redis", detail=str(error))], [], []
    yield from clock
    yield from losses
    if all(one.level == "ok" for one in found):
        yield Finding(level="ok", what="redis", detail=store)
    yield from found


def _tls(settings: Settings) -> Iterator[Finding]:
    if settings.redis_url is not None:
        yield from tls_findings(settings.redis_url.reveal(), settings.redis_options)


def _describe_alerts(settings: Settings) -> str:
    if settings.alert_url:
        return "set"
    return "CREDITS_ALERT_URL is not set: nobody is notified of failed deliveries"


def _describe_events(settings: Settings) -> str:
    if settings.events_url:
        return "set"
    return "CREDITS_EVENTS_URL is not set: the storefront is not told of credits"


def _count_rules(settings: Settings, rules: Rules) -> Finding:
    if not rules.rules:
        return Finding(level="warning", what="rules", detail=f"{settings.rules_path} grants nothing")
    count = f"{format_count(len(rules.rules), 'rule')}, {format_count(len(rules.meters), 'meter')}"
    return Finding(level="ok", what="rules", detail=f"{settings.rules_path}: {count}")
