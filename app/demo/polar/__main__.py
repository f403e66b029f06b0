"""Runs the stand-in as a process of its own: ``python -m app.demo.polar --port N``."""

import argparse
import sys
from typing import Any
from uuid import UUID

import uvicorn
from pydantic import UUID4, TypeAdapter

from app.demo.polar import Polar, create_app
from app.demo.polar.organization import SETUP_SCOPES
from app.demo.polar.seeding import add_past_sales


def main() -> None:
    """Serve one organization on 127.0.0.1 until a stop signal."""
    options = _parser().parse_args()
    polar = Polar(token=options.token, scopes=SETUP_SCOPES, requests_per_minute=options.requests_per_minute)
    for customer_id in options.customer:
        polar.add_customer(customer_id)
    for meter in options.meter:
        name, _, property_ = meter.partition(":")
        polar.add_meter(name, property_ or "units")
    for product in options.product:
        polar.add_product(**product)
    if options.history:
        add_past_sales(polar)
    url = f"http://127.0.0.1:{options.port}"
    sys.stdout.write(
        f"The stand-in for Polar is ready: POLAR_SERVER={url} POLAR_ACCESS_TOKEN={options.token}\n"
    )
    sys.stdout.flush()
    # Our answers have a date of their own.
    uvicorn.run(
        create_app(polar), host="127.0.0.1", port=options.port, log_level="warning", date_header=False
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app.demo.polar", description="A local stand-in for the Polar API."
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", default=Polar.token, help="default: %(default)s")
    parser.add_argument(
        "--customer",
        action="append",
        default=[],
        type=_uuid4,
        metavar="UUID",
        help="the id of a customer; may be repeated",
    )
    parser.add_argument(
        "--meter",
        action="append",
        default=[],
        metavar="NAME[:PROPERTY]",
        help="a meter that sums PROPERTY (default: units) of the events named NAME; may be repeated",
    )
    parser.add_argument(
        "--product",
        action="append",
        default=[],
        type=_product,
        metavar="UUID[:NAME[:INTERVAL]]",
        help="a product, sold once, or by subscription each INTERVAL (such as month); may be repeated",
    )
    parser.add_argument(
        "--history",
        action="store_true",
        help="start with two past sales of each product to each customer; their webhooks never arrived: "
        "`credits backfill` finds one, `credits recover` the other",
    )
    parser.add_argument(
        "--requests-per-minute",
        type=int,
        default=Polar.requests_per_minute,
        help="requests beyond this limit get 429; default: %(default)s",
    )
    return parser


def _product(text: str) -> dict[str, Any]:
    product_id, *named = text.split(":")
    given = dict(zip(("name", "recurring_interval"), named, strict=False))
    return {"id": _uuid4(product_id), **given}


def _uuid4(text: str) -> UUID:
    return TypeAdapter(UUID4).validate_python(text)


main()
