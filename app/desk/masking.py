"""Hides who a webhook is about: names, addresses, and whatever a customer has typed."""

import json
from collections.abc import Mapping
from typing import Any

from workers.monitoring.logs import mask_addresses

MASK = "(hidden)"

# The ends of the names of fields, so that billing_address and customer_billing_address are one.
_PERSONAL = (
    "address",
    "avatar_url",
    "billing_name",
    "custom_field_data",
    "customer_name",
    "email",
    "legal_name",
    "phone",
    "public_name",
    "tax_id",
)
_PEOPLE = frozenset({"customer", "user", "member", "owner", "billing_customer"})  # their names are personal
_MOST_CHARACTERS = 200_000


def masked_body(body: bytes) -> str:
    """Return a body for people: JSON on many lines, with nothing that says who it is about."""
    try:
        whole: Any = json.loads(body)
        is_customer = isinstance(whole, Mapping) and str(whole.get("type")).startswith("customer.")
        text = json.dumps(_mask(whole, "customer" if is_customer else ""), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = str(mask_addresses(body.decode(errors="replace")))
    return text[:_MOST_CHARACTERS]


def _mask(value: Any, inside: str) -> Any:
    """Return a JSON value with its personal fields masked; ``inside`` is the field that holds it."""
    if isinstance(value, dict):
        return {name: _mask_field(name, one, inside) for name, one in value.items()}
    if isinstance(value, list):
        return [_mask(one, inside) for one in value]
    return mask_addresses(value)


def _mask_field(name: str, value: Any, inside: str) -> Any:
    is_personal = name.endswith(_PERSONAL) or (name == "name" and inside in _PEOPLE)
    if is_personal and value not in (None, {}, [], ""):
        return MASK
    return _mask(value, inside if name == "data" else name)
