"""Finds constants that the field beside them never has, such as the currency "USD"."""

import re
from collections.abc import Collection, Iterator, Mapping

from config.cel.expressions import Expression
from config.wording import joined, quoted

_INTERVALS = ("day", "week", "month", "year")
_SUBSCRIPTION_STATUSES = (
    "incomplete",
    "incomplete_expired",
    "trialing",
    "active",
    "past_due",
    "canceled",
    "unpaid",
    "paused",
)

# The values of fields that have few, as Polar's OpenAPI (2026-10) lists them.
_VALUES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("order", "billing_reason"): (
        "purchase",
        "subscription_create",
        "subscription_cycle",
        "subscription_update",
        "subscription_meter_cycle",
    ),
    ("order", "status"): ("draft", "pending", "paid", "refunded", "partially_refunded", "void"),
    ("subscription", "status"): _SUBSCRIPTION_STATUSES,
    ("subscription", "recurring_interval"): _INTERVALS,
    ("product", "recurring_interval"): _INTERVALS,
    ("customer", "type"): ("individual", "team"),
}
_CURRENCIES: Collection[tuple[str, ...]] = {("order", "currency"), ("subscription", "currency")}

_TEXT = r"""(?:"[^"\\]*"|'[^'\\]*')"""
_FIELD = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+"
_COMPARISON = re.compile(
    rf"(?P<left>{_FIELD})\s*[!=]=\s*(?P<right_text>{_TEXT})"
    rf"|(?P<left_text>{_TEXT})\s*[!=]=\s*(?P<right>{_FIELD})(?!\s*[.(\[])"
    rf"|(?P<member>{_FIELD})\s+in\s*\[(?P<texts>\s*{_TEXT}(?:\s*,\s*{_TEXT})*)\s*\]"
)


def find_foreign_constants(expression: Expression) -> Iterator[str]:
    """Yield a warning for each constant that the field beside it never has."""
    known = {reference.keys for reference in expression.references}
    for match in _COMPARISON.finditer(expression.text):
        field = match["left"] or match["right"] or match["member"]
        keys = tuple(field.split("."))
        if keys in known:
            for text in re.findall(_TEXT, match["right_text"] or match["left_text"] or match["texts"]):
                if why := _why_foreign(_holder_of(keys), text[1:-1]):
                    yield f"{field} is never {quoted(text[1:-1])}: {why}"


def _holder_of(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys from the object itself: an order's customer is the customer."""
    is_nested = len(keys) > 2 and keys[1] in {"subscription", "customer", "product"}  # noqa: PLR2004
    return keys[1:] if is_nested else keys


def _why_foreign(keys: tuple[str, ...], value: str) -> str:
    if keys in _CURRENCIES:
        is_currency = re.fullmatch("[a-z]{3}", value) is not None
        return "" if is_currency else 'Polar writes currencies as three small letters, such as "usd"'
    values = _VALUES.get(keys, (value,))
    return "" if value in values else f"Polar's values are {joined(values)}"
