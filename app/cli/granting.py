"""What ``credits up`` and ``credits work`` check and log before the workers start."""

from config.durations import format_duration
from config.errors import ConfigError
from config.log import get_log
from config.network import require_usable_network
from config.rules import Rules, load_rules
from config.setting_names import find_unknown_settings
from config.settings import Settings
from workers.core.reconciling import NEEDS_CREDIT_FROM, wants_disputes

log = get_log(__name__)


def require_granting(settings: Settings) -> Rules:
    """Return the rules; report a missing setting here, in one line, rather than in every worker."""
    settings.require_token()
    require_usable_network(settings.polar_url)
    rules = load_rules(settings.rules_path)
    is_set = settings.reconcile_every(has_credit_from=False) is not None
    if is_set and rules.credit_from is None and not wants_disputes(rules):
        raise ConfigError(NEEDS_CREDIT_FROM)
    return rules


def log_settings(settings: Settings, rules: Rules) -> None:
    """Log which Polar and which rules are used, so that an operator can check them at the start."""
    every = settings.reconcile_every(has_credit_from=rules.credit_from is not None)
    log.info(
        "working with",
        polar=settings.polar_server,
        rules=f"{len(rules.rules)} in {settings.rules_path}",
        version=rules.digest,
        alerts="on" if settings.alert_url else "off",
        events="on" if settings.events_url else "off",
        reconciling=f"every {format_duration(every)}" if every else "off",
    )
    for unknown in find_unknown_settings():
        log.warning("unknown setting", setting=unknown)
