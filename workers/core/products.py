"""Reads the name of what was bought from a webhook's body, to show it to people."""

from collections.abc import Mapping
from typing import Any

_MOST_CHARACTERS = 60  # of a name: it stands beside ids on a terminal


def product_name(body: bytes) -> str:
    """Return the product's name, in one line, as it was when the webhook was sent; empty if unknown."""
    from pydantic_core import from_json  # noqa: PLC0415 - most commands read no body, and it takes long to import

    try:
        whole: Any = from_json(body, allow_inf_nan=False)
    except ValueError:
        return ""
    data = whole.get("data") if isinstance(whole, Mapping) else None
    return name_of(data.get("product")) if isinstance(data, Mapping) else ""


def name_of(product: Any) -> str:
    """Return the name of a product as a webhook shows it; empty if there is none."""
    name = product.get("name") if isinstance(product, Mapping) else None
    if not isinstance(name, str):
        return ""
    words = " ".join(name.split())
    return words if len(words) < _MOST_CHARACTERS else f"{words[: _MOST_CHARACTERS - 1]}…"
