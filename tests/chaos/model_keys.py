"""The instalments and the keys that any grant of the model can have."""

from collections.abc import Mapping

from tests.chaos.model_rules import FILES, METERS
from tests.chaos.model_webhooks import ALL, DISPUTES, ORDERS_TODAY, REVOKES, SALE_WEBHOOKS, YEARS
from tests.chaos.paid_years import WEEKS, YEAR

_EVERYTHING = (*ALL.values(), *ORDERS_TODAY.values(), *SALE_WEBHOOKS.values())

DATES_BY_EVERY = {
    sent.order_id: {every: sent.paid.dates(every) for every in ("month", "week")}
    for sent in YEARS.values()
    if sent.paid
}
"""By order, the dates of its instalments."""
SUBSCRIPTION_OF = {sent.order_id: sent.paid.subscription_id for sent in YEARS.values() if sent.paid}

INSTALMENTS: Mapping[str, tuple[str, int, str]] = {
    f"credits:instalment:{sent.order_id}:{number}:{meter}": (sent.order_id, number, meter)
    for sent in YEARS.values()
    for rule in (YEAR, WEEKS)
    for meter in rule.gives
    for number in range(2, len(DATES_BY_EVERY[sent.order_id][rule.every]) + 1)
}
"""Every later instalment that an order can have, by its key."""

KEYS = (
    INSTALMENTS.keys()
    | {
        f"{subject}:{meter}"
        for file in FILES.values()
        for sent in _EVERYTHING
        for subject, amounts in (file.expects(sent) or {}).items()
        for meter in amounts
    }
    | {
        f"credits:refund:{sent.order_id}:{sent.refunded_cents}:{meter}"
        for sent in _EVERYTHING
        if sent.refunded_cents
        for meter in METERS
    }
    | {f"credits:dispute:{sent.dispute_id}:{meter}" for sent in DISPUTES.values() for meter in METERS}
    | {f"credits:revoke:{sent.order_id}:{meter}" for sent in REVOKES.values() for meter in METERS}
)
"""Every key that any grant of the model can have."""
