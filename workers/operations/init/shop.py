"""Reads at Polar what ``credits init`` offers: meters that can hold credits, products, endpoints."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from http import HTTPStatus
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from config.rules import Meter
from config.rules.fields import (
    CONTROLS,
    MAX_METER_CHARACTERS,
    MAX_PROPERTY_CHARACTERS,
    RESERVED_PROPERTIES,
)
from config.urls import WEBHOOKS_PATH
from workers.errors import PolarDeniedError
from workers.polar.catalogue import PolarEndpoint, PolarMeter, PolarProduct, parse_items
from workers.polar.client import Polar
from workers.polar.lists import Row
from workers.polar.meter_match import closest_matches

T = TypeVar("T")

_CONTROL_CHARACTERS = re.compile(f"[{CONTROLS}]")


class MeterChoice(Struct, frozen=True, kw_only=True):
    """A meter that can hold credits: what the rules call it, and its title at Polar."""

    meter: Meter
    title: str


class Shop(Struct, frozen=True, kw_only=True):
    """What the token's organization has. With ``missing_scopes``, what they hide is left out."""

    meters: tuple[MeterChoice, ...]
    all_meters: tuple[PolarMeter, ...]
    products: tuple[PolarProduct, ...]
    """Without the archived ones, newest first."""
    endpoints: tuple[PolarEndpoint, ...]
    missing_scopes: tuple[str, ...]

    def our_endpoint(self, public_url: str, secrets: Collection[str] = ()) -> PolarEndpoint | None:
        """Return the endpoint that leads to the receiver, or else one that signs with a secret of ours.

        The latter leads to a former public URL. Of several endpoints, one that is enabled is returned.
        """
        url = public_url + WEBHOOKS_PATH
        found = [one for one in self.endpoints if one.url.rstrip("/") == url]
        found = found or [
            one for one in self.endpoints if one.secret and one.secret.get_secret_value() in secrets
        ]
        return min(found, key=lambda one: not one.enabled, default=None)

    def lacks(self, meter: Meter) -> bool:
        """Return whether no meter at Polar can hold credits under this name and property."""
        found = closest_matches(meter, self.all_meters)
        return not found or bool(found[0].faults)


def read_shop(polar: Polar, *, public_url: str | None, creates_meter: bool) -> Shop:
    """Read the organization, and try the scopes that are needed; a 403 is noted, any other PolarError raised.

    Creates nothing: what it tries to create is invalid, which Polar only says where the scope is there.
    """
    missing: list[str] = []

    def ask(scope: str, request: Callable[[], T], otherwise: T) -> T:
        try:
            return request()
        except PolarDeniedError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            missing.append(scope)
            return otherwise

    def rows(scope: str, path: str) -> list[Row]:
        return ask(scope, lambda: polar.read_list(path)[0], [])

    ask("events:write", polar.check_token, None)
    meters = parse_items(PolarMeter, rows("meters:read", "/v1/meters/"))
    products = parse_items(PolarProduct, rows("products:read", "/v1/products/"))
    shop = Shop(
        meters=tuple(_usable(meters)),
        all_meters=meters,
        products=tuple(one for one in products if not one.is_archived),
        endpoints=parse_items(PolarEndpoint, rows("webhooks:read", "/v1/webhooks/endpoints")),
        missing_scopes=(),
    )
    if public_url and shop.our_endpoint(public_url) is None:
        ask("webhooks:write", polar.check_endpoint_creation, None)
    if creates_meter:
        ask("meters:write", polar.check_meter_creation, None)
    return replace(shop, missing_scopes=tuple(missing))


def _usable(meters: Iterable[PolarMeter]) -> Iterator[MeterChoice]:
    """Yield the meters that count all of our events, each event name once."""
    seen: set[str] = set()
    for one in meters:
        for name in _names(one):
            meter = Meter(name=name, property=one.aggregation.property or "")
            if name not in seen and _is_valid(meter) and closest_matches(meter, [one])[0].distance == (0, 0):
                seen.add(name)
                yield MeterChoice(meter=meter, title=one.name)


def _names(meter: PolarMeter) -> list[str]:
    return [
        str(clause.value)
        for clause in meter.filter.leaves()
        if clause.property == "name" and clause.operator == "eq"
    ]


def _is_valid(meter: Meter) -> bool:
    """Return whether the rules can name the meter and its property."""
    return (
        1 <= len(meter.name) <= MAX_METER_CHARACTERS
        and 1 <= len(meter.property) <= MAX_PROPERTY_CHARACTERS
        and meter.property not in RESERVED_PROPERTIES
        and not _CONTROL_CHARACTERS.search(meter.name + meter.property)
    )
