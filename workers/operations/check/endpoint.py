"""Checks that a webhook endpoint at Polar sends what the rules and settings need."""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from config.rules import ORDER_TRIGGERS, Rules, Trigger
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

_PATH = "/webhooks/polar"

# The webhooks of each trigger. A subscription that resumes begins a period without subscription.cycled.
_WEBHOOKS = {
    **dict.fromkeys(ORDER_TRIGGERS, (ORDER_PAID,)),
    Trigger.SUBSCRIPTION: (SUBSCRIPTION_CREATED,),
    Trigger.PERIOD: (SUBSCRIPTION_CYCLED, SUBSCRIPTION_RESUMED),
    Trigger.CUSTOMER: (CUSTOMER_CREATED,),
}


def check_endpoints(
    rules: Rules, endpoints: Iterable[PolarEndpoint], *, forgets_deleted: bool
) -> Iterator[Finding]:
    """Yield the webhooks that are needed and that no enabled endpoint sends; nothing if there is no endpoint.

    Where several lead to a receiver of ours, the one that lacks least is judged.
    """
    enabled = [one for one in endpoints if one.enabled]
    ours = [one for one in enabled if urlsplit(one.url).path.rstrip("/").endswith(_PATH)] or enabled
    needed = needed_webhooks(rules, forgets_deleted=forgets_deleted)
    if not ours:
        return
    best = min(ours, key=lambda one: len(needed.difference(one.events)))
    missing = sorted(needed.difference(best.events))
    if missing:
        detail = f"{best.url} does not get {joined(missing)}: select what is missing in Polar's dashboard"
        yield Finding(level="error", what="endpoint", detail=f"{detail} (Settings > Webhooks)")
    else:
        yield Finding(level="ok", what="endpoint", detail=f"{best.url} gets what the rules need")


def needed_webhooks(rules: Rules, *, forgets_deleted: bool) -> frozenset[str]:
    """Return the types of webhook without which the rules would miss something."""
    triggers = {trigger for rule in rules.rules for trigger in rule.effective_triggers}
    needed = {type_ for trigger in triggers for type_ in _WEBHOOKS[trigger]}
    if any(rule.revokes for rule in rules.rules):
        needed.add(ORDER_REFUNDED)
    if forgets_deleted:
        needed.add(CUSTOMER_DELETED)
    return frozenset(needed)
