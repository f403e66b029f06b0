"""``python -m app.demo.polar --port N``: the stand-in as a process of its own."""

import argparse
from uuid import UUID

import uvicorn
from pydantic import UUID4, TypeAdapter

from app.demo.polar import Polar, create_app


def main() -> None:
    """Serve one organization on 127.0.0.1 until a signal comes."""
    options = _parser().parse_args()
    polar = Polar(token=options.token, requests_per_minute=options.requests_per_minute)
    for customer_id in options.customer:
        polar.add_customer(customer_id)
    for meter in options.meter:
        name, _, summed = meter.partition(":")
        polar.add_meter(name, summed or "units")
    uvicorn.run(create_app(polar), host="127.0.0.1", port=options.port, log_level="warning")


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
        help="a customer that is known; may be repeated",
    )
    parser.add_argument(
        "--meter",
        action="append",
        default=[],
        metavar="NAME[:PROPERTY]",
        help="a meter summing PROPERTY (default: units) of the events NAME; may be repeated",
    )
    parser.add_argument(
        "--requests-per-minute",
        type=int,
        default=Polar.requests_per_minute,
        help="more get 429; default: %(default)s",
    )
    return parser


def _uuid4(text: str) -> UUID:
    return TypeAdapter(UUID4).validate_python(text)


main()
