"""A past for the stand-in, so that there is something to backfill and to recover."""

import json
from uuid import uuid4

from app.demo.polar.state import Polar
from config.samples import make_sample


def add_history(polar: Polar) -> None:
    """Let each customer have bought each product twice; of one sale Polar tried in vain to tell."""
    for customer_id in polar.customers:
        for product in polar.products:
            untold, lost = (
                make_sample("purchase", product=str(product.id), customer=customer_id) for _ in range(2)
            )
            for body in (untold, lost):
                polar.add_order(**json.loads(body)["data"])
            polar.add_delivery(uuid4(), lost, http_code=502)
