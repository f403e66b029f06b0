"""A client for Polar's API: a method for each operation that we use."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec

from workers.errors import PolarRefusedError
from workers.polar.lists import Listing, Row
from workers.polar.requests import PolarRequests
from workers.polar.responses import read_duplicates, read_object
from workers.polar.sums import read_sum

_ENDPOINTS = "/v1/webhooks/endpoints"

_FIRST_EVENTS = datetime(2023, 1, 1, tzinfo=UTC)  # Polar refuses to sum earlier ones
_CLOCK_SLACK = timedelta(days=1)  # this host's clock may be behind

_encode = msgspec.json.Encoder().encode  # in a seventh of the time that httpx takes
_JSON = {"Content-Type": "application/json"}


class Polar(PolarRequests):
    """A client for one organization."""

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Ingest usage events; return how many Polar knew before. PolarError unless it confirms each of them.

        It skips an event whose ``external_id`` it knows, even if the event had another content.

        Source: ``POST /v1/events/ingest``. A request is one transaction at Polar.
        """
        body = _encode({"events": events})
        answer = self._request("POST", "/v1/events/ingest", content=body, headers=_JSON)
        return read_duplicates(answer, sent=len(events))

    def check_token(self) -> None:
        """Raise PolarError if the token may not ingest; ingests nothing."""
        # Polar accepts an empty batch. A server that refuses the batch has already accepted the token.
        with suppress(PolarRefusedError):
            self.ingest([])

    def check_customer_creation(self) -> None:
        """Raise PolarError if the token may not create customers; creates none: the address is empty."""
        with suppress(PolarRefusedError):
            self.create_customer(email="")

    def check_endpoint_creation(self) -> None:
        """Raise PolarError if the token may not create webhook endpoints; creates none: the URL is empty."""
        with suppress(PolarRefusedError):
            self.create_endpoint(url="", events=())

    def check_meter_creation(self) -> None:
        """Raise PolarError if the token may not create meters; creates none: the title is empty."""
        with suppress(PolarRefusedError):
            self.create_meter(title="", name="", summed="")

    def customer(self, customer_id: str) -> Row | None:
        """Return the customer, or None if Polar has none with this id.

        Source: ``GET /v1/customers/{id}``.
        """
        found = self.find(f"/v1/customers/{_path_segment(customer_id)}")
        return None if found is None else _customer(found)

    def customer_by_external_id(self, external_id: str) -> Row | None:
        """Return the customer with the merchant's own id, or None; Polar cannot find an id with a slash.

        Source: ``GET /v1/customers/external/{external_id}``.
        """
        found = self.find(f"/v1/customers/external/{_path_segment(external_id)}")
        return None if found is None else _customer(found)

    def customer_state(self, customer_id: str) -> Row | None:
        """Return a customer with their balances on all meters, or None; the balances lag by seconds or more.

        Source: ``GET /v1/customers/{id}/state``.
        """
        found = self.find(f"/v1/customers/{_path_segment(customer_id)}/state")
        return None if found is None else _customer(found)

    def external_customer_state(self, external_id: str) -> Row | None:
        """Return the same for the customer with the merchant's own id.

        Source: ``GET /v1/customers/external/{external_id}/state``.
        """
        found = self.find(f"/v1/customers/external/{_path_segment(external_id)}/state")
        return None if found is None else _customer(found)

    def consumed(self, meter_id: str, customer_id: str) -> Decimal:
        """Return what a customer's events add up to on a meter; negative where credit is left.

        It includes the newest events, but neither resets of the meter nor Polar's own credits.

        Source: ``GET /v1/meters/{id}/quantities``.
        """
        answer = self._request(
            "GET",
            f"/v1/meters/{_path_segment(meter_id)}/quantities",
            params={
                "customer_id": customer_id,
                "interval": "year",
                "start_timestamp": _FIRST_EVENTS.isoformat(),
                "end_timestamp": (datetime.now(UTC) + _CLOCK_SLACK).isoformat(),
            },
        )
        return read_sum(answer.get("total") if isinstance(answer, dict) else None)

    def subscription(self, subscription_id: str) -> Row | None:
        """Return the subscription, or None if Polar has none with this id.

        Source: ``GET /v1/subscriptions/{id}``.
        """
        found = self.find(f"/v1/subscriptions/{_path_segment(subscription_id)}")
        return None if found is None else read_object(found, "a subscription")

    def customers_by_email(self, email: str) -> list[Row]:
        """Return the customers with this address, upper or lower case; Polar has at most one.

        Source: ``GET /v1/customers/``.
        """
        found = self.page(Listing(path="/v1/customers/", query={"email": email})).items
        # A server that ignores the filter lists all customers.
        return [_customer(one) for one in found if str(one.get("email")).lower() == email.lower()]

    def create_customer(self, *, email: str, name: str | None = None, external_id: str | None = None) -> Row:
        """Create a customer; PolarRefusedError for a bad address, or an address or id that is taken.

        Source: ``POST /v1/customers/``.
        """
        given = {"email": email, "name": name, "external_id": external_id}
        body = {field: value for field, value in given.items() if value is not None}
        return _customer(self._request("POST", "/v1/customers/", success=HTTPStatus.CREATED, json=body))

    def create_endpoint(self, *, url: str, events: Sequence[str]) -> Row:
        """Create a webhook endpoint; return it with the secret that Polar has made for it.

        PolarRefusedError unless the URL begins with ``https://`` and leads to another host.

        Source: ``POST /v1/webhooks/endpoints``.
        """
        body = {"url": url, "name": "credit-granter", "format": "raw", "events": list(events)}
        return read_object(
            self._request("POST", _ENDPOINTS, success=HTTPStatus.CREATED, json=body), "an endpoint"
        )

    def update_endpoint(self, endpoint_id: str, changes: Mapping[str, Any]) -> Row:
        """Change some fields of a webhook endpoint; return it whole.

        Source: ``PATCH /v1/webhooks/endpoints/{id}``.
        """
        path = f"{_ENDPOINTS}/{_path_segment(endpoint_id)}"
        return read_object(self._request("PATCH", path, json=dict(changes)), "an endpoint")

    def create_meter(self, *, title: str, name: str, summed: str) -> Row:
        """Create a meter that sums the property ``summed`` of the events named ``name``.

        Source: ``POST /v1/meters/``. Its title has at least three characters.
        """
        clause = {"property": "name", "operator": "eq", "value": name}
        body = {
            "name": title,
            "filter": {"conjunction": "and", "clauses": [clause]},
            "aggregation": {"func": "sum", "property": summed},
        }
        answer = self._request("POST", "/v1/meters/", success=HTTPStatus.CREATED, json=body)
        return read_object(answer, "a meter")


def _customer(found: Any) -> Row:
    return read_object(found, "a customer")


def _path_segment(text: str) -> str:
    """Return ``text`` as one segment of a path; unquoted, "." and ".." would change the path."""
    return quote(text, safe="").replace(".", "%2E")
