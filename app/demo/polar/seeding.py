"""Gives the stand-in some past sales, so that there is something to backfill and to recover."""

import json
from uuid import uuid4

from app.demo.polar.organization import Polar
from config.samples import make_sample


def add_past_sales(polar: Polar) -> None:
    """Add two paid orders of each product for each customer.

    Polar never sent a webhook for the first; for the second it tried once, and failed.
    """
    for customer_id in polar.customers:
        for product in polar.products:
            unsent, undelivered = (
                make_sample("purchase", product=str(product.id), customer=customer_id) for _ in range(2)
            )
            for body in (unsent, undelivered):
                polar.add_order(**json.loads(body)["data"])
            polar.add_delivery(uuid4(), undelivered, http_code=502)
