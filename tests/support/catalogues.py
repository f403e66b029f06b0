"""Meters and products of Polar for tests of ``credits check``, in the form of the API."""

from collections.abc import Sequence
from typing import Any

from app.demo.polar import Meter, Polar
from tests.support.builders import PRODUCT
from workers.polar.catalogue import PolarMeter, PolarProduct, parse_items

BY_NAME = {"property": "name", "operator": "eq", "value": "api_usage"}
COUNT = {"func": "count"}
ARCHIVED = "2026-11-21T00:00:00Z"


def clause(name: str, operator: str, value: str | int | bool) -> dict[str, Any]:
    """Return one condition of a meter's filter."""
    return {"property": name, "operator": operator, "value": value}


def both(*clauses: dict[str, Any]) -> dict[str, Any]:
    """Return a filter that needs all of its conditions."""
    return {"conjunction": "and", "clauses": list(clauses)}


def either(*clauses: dict[str, Any]) -> dict[str, Any]:
    """Return a filter that needs one of its conditions."""
    return {"conjunction": "or", "clauses": list(clauses)}


def meter(name: str = "api_usage", summed: str = "units", **fields: Any) -> PolarMeter:
    """Return a meter as read from Polar, correct except for ``fields``."""
    shown = Polar().add_meter(name, summed, **fields).model_dump(mode="json")
    (view,) = parse_items(PolarMeter, [shown])
    return view


def goods(
    name: str = "Credit pack",
    *,
    product_id: str = PRODUCT,
    every: str | None = None,
    bills: Sequence[Meter | PolarMeter] = (),
    credits_on: Sequence[Meter | PolarMeter] = (),
    **fields: Any,
) -> dict[str, Any]:
    """Return a product's fields: what it costs, bills by usage, and credits by Polar's own benefit."""
    fixed = {
        "amount_type": "fixed",
        "product_id": product_id,
        "type": "recurring" if every else "one_time",
        "recurring_interval": every,
        "price_amount": 1000,
    }
    metered = [
        {
            "amount_type": "metered_unit",
            "product_id": product_id,
            "meter_id": str(one.id),
            "meter": {"id": str(one.id), "name": one.name},
        }
        for one in bills
    ]
    benefits = [
        {"properties": {"meter_id": str(one.id), "units": 5, "rollover": False}} for one in credits_on
    ]
    sold = {"id": product_id, "name": name, "recurring_interval": every}
    return {**sold, "prices": [fixed, *metered], "benefits": benefits, **fields}


def product(name: str = "Credit pack", **fields: Any) -> PolarProduct:
    """Return a product as read from Polar."""
    shown = Polar().add_product(**goods(name, **fields)).model_dump(mode="json")
    (view,) = parse_items(PolarProduct, [shown])
    return view
