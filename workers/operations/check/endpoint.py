"""Checks that the webhook endpoint at Polar leads here, and sends what the rules and settings need."""

import hmac
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from config.pasted_secrets import PREFIXES_OF_SECRETS, split_secrets
from config.rules import ORDER_TRIGGERS, Rules, Trigger
from config.settings import Settings
from config.urls import WEBHOOKS_PATH
from config.wording import joined
from workers.core.envelope import (
    CUSTOMER_CREATED,
    CUSTOMER_DELETED,
    ORDER_PAID,
    ORDER_REFUNDED,
    SUBSCRIPTION_CREATED,
    SUBSCRIPTION_CYCLED,
    SUBSCRIPTION_RESUMED,
)
from workers.core.findings import Finding
from workers.polar.catalogue import PolarEndpoint

_WHERE = "in Polar's dashboard (Settings > Webhooks)"

# The webhooks of each trigger. A subscription that resumes begins a period without subscription.cycled.
_WEBHOOKS = {
    **dict.fromkeys(ORDER_TRIGGERS, (ORDER_PAID,)),
    Trigger.SUBSCRIPTION: (SUBSCRIPTION_CREATED,),
    Trigger.PERIOD: (SUBSCRIPTION_CYCLED, SUBSCRIPTION_RESUMED),
    Trigger.CUSTOMER: (CUSTOMER_CREATED,),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What the settings want of the endpoint."""

    forgets_deleted: bool = False
    public_url: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)


def wanted_by(settings: Settings) -> Wanted:
    """Return what the settings want of the endpoint."""
    return Wanted(
        forgets_deleted=settings.forget_deleted,
        public_url=settings.public_url,
        secrets=settings.webhook_secrets,
    )


def check_endpoints(
    rules: Rules | None, endpoints: Collection[PolarEndpoint], wanted: Wanted
) -> Iterator[Finding]:
    """Yield what is wrong with the endpoint that leads here; nothing if Polar has none at all.

    Where several lead to a receiver of ours, the one with the fewest problems is judged.
    """
    ours = _leading_here(endpoints, wanted.public_url)
    if not ours:
        if wanted.public_url:
            yield Finding(level="error", what="endpoint", detail=_elsewhere(endpoints, wanted.public_url))
        return
    needed = needed_webhooks(rules, forgets_deleted=wanted.forgets_deleted) if rules else frozenset()
    judged = [(one, list(_problems(one, needed, wanted.secrets))) for one in ours]
    best, problems = min(
        judged, key=lambda one: (not one[0].enabled, len(one[1]), len(needed.difference(one[0].events)))
    )
    for problem in problems:
        yield Finding(level="error", what="endpoint", detail=f"{best.url} {problem}")
    if not problems:
        yield Finding(level="ok", what="endpoint", detail=f"{best.url} gets what the rules need")


def _leading_here(endpoints: Collection[PolarEndpoint], public_url: str | None) -> list[PolarEndpoint]:
    if public_url:
        return [one for one in endpoints if one.url.rstrip("/") == public_url + WEBHOOKS_PATH]
    ours = [one for one in endpoints if urlsplit(one.url).path.rstrip("/").endswith(WEBHOOKS_PATH)]
    return ours or [one for one in endpoints if one.enabled]


def _elsewhere(endpoints: Collection[PolarEndpoint], public_url: str) -> str:
    others = joined([one.url for one in endpoints]) if endpoints else "none"
    return (
        f"no endpoint at Polar has the URL {public_url}{WEBHOOKS_PATH} (CREDITS_PUBLIC_URL), but there is "
        f"{others}: run credits init, or correct the URL {_WHERE}"
    )


def _problems(one: PolarEndpoint, needed: frozenset[str], secrets: Collection[str]) -> Iterator[str]:
    if not one.enabled:
        yield (
            "is disabled, as after ten webhooks in a row that failed: mend the cause, enable it "
            f"{_WHERE}, then run credits backfill"
        )
    if one.format != "raw":
        yield f"has the format {one.format}: set it to Raw {_WHERE}"
    if missing := sorted(needed.difference(one.events)):
        yield f"does not get {joined(missing)}: run credits init, or select what is missing {_WHERE}"
    if one.secret and secrets and not _is_among(one.secret.get_secret_value(), secrets):
        yield "has another secret than POLAR_WEBHOOK_SECRET: copy it from there, and restart the receivers"


def _is_among(secret: str, ours: Collection[str]) -> bool:
    """Return whether the endpoint's secret is one of ours; a missing prefix is the receiver's business."""
    return any(
        hmac.compare_digest(_bare(one).encode(), _bare(found).encode())
        for one in ours
        for found in split_secrets(secret)
    )


def _bare(secret: str) -> str:
    for prefix in PREFIXES_OF_SECRETS:
        secret = secret.removeprefix(prefix)
    return secret


def needed_webhooks(rules: Rules, *, forgets_deleted: bool) -> frozenset[str]:
    """Return the types of webhook without which the rules would miss something."""
    triggers = {trigger for rule in rules.rules for trigger in rule.effective_triggers}
    needed = {type_ for trigger in triggers for type_ in _WEBHOOKS[trigger]}
    if any(rule.revokes or rule.every for rule in rules.rules):  # a full refund ends instalments, too
        needed.add(ORDER_REFUNDED)
    if forgets_deleted:
        needed.add(CUSTOMER_DELETED)
    return frozenset(needed)
