"""Polar's official client reads every recording, and every answer of the stand-in.

Its models are strict: a missing field, a wrong type or an unknown constant is an error. They are newer than
the server that was recorded, and need a few fields that it did not send: ``ADDED_SINCE``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import httpx
import pytest
import respx

from app.demo.polar import Polar, seeding
from app.demo.polar.organization import SETUP_SCOPES
from tests.support.polar_standin import CUSTOMER, TOKEN, ask, event, ingest
from tests.support.recorded_triggers import FLOWS, REAL
from tests.support.recordings import RESPONSES, payload, recorded

if TYPE_CHECKING:  # importing it takes two seconds, and every worker of pytest imports this file
    from polar.v2026_10 import Polar as Official

pytestmark = pytest.mark.heavy  # the client takes seconds to import and to build its loaders

Call = Callable[["Official"], object]
Answer = Callable[[httpx.Request], httpx.Response]

PRODUCT = {"is_deletable": False}
ADDED_SINCE: Mapping[str, Mapping[str, object]] = {
    "product": PRODUCT,
    "webhook_event": {"api_version": "2026-10"},
    "": {**PRODUCT, "api_version": "2026-10", "uses_standard_webhook_signature": False},
    "items": {
        **PRODUCT,
        "start_timestamp": None,
        "end_timestamp": None,
        "api_version": "2026-10",
        "uses_standard_webhook_signature": False,
    },
}
"""By the name of the field that holds the object; the body itself has no name."""

MISSING = "ac0e6c28-be0b-4c70-8321-da36fd5f60bf"
SINCE_2024: Mapping[str, Any] = {
    "interval": "year",
    "start_timestamp": "2024-01-01T00:00:00Z",
    "end_timestamp": "2027-01-01T00:00:00Z",
}
RECORDED: Mapping[str, Call] = {
    "benefits": lambda polar: polar.benefits.list(),
    "customer": lambda polar: polar.customers.get(CUSTOMER),
    "customer_by_external_id": lambda polar: polar.customers.get_external("user_42"),
    "customer_create_bad_email": lambda polar: polar.customers.create(email="x"),
    "customer_meters": lambda polar: polar.customer_meters.list(),
    "customer_missing": lambda polar: polar.customers.get_external("nobody"),
    "customers_by_email": lambda polar: polar.customers.list(),
    "ingest_bad_shapes": lambda polar: polar.events.ingest(events=[]),
    "ingest_bad_token": lambda polar: polar.events.ingest(events=[]),
    "ingest_duplicate": lambda polar: polar.events.ingest(events=[]),
    "ingest_inserted": lambda polar: polar.events.ingest(events=[]),
    "ingest_missing_scope": lambda polar: polar.events.ingest(events=[]),
    "ingest_no_token": lambda polar: polar.events.ingest(events=[]),
    "ingest_not_json": lambda polar: polar.events.ingest(events=[]),
    "ingest_unknown_customer": lambda polar: polar.events.ingest(events=[]),
    "meters": lambda polar: polar.meters.list(),
    "not_found_path": lambda polar: polar.meters.list(),
    "orders_limit_too_large": lambda polar: polar.orders.list(),
    "orders_page_1": lambda polar: polar.orders.list(),
    "orders_page_2": lambda polar: polar.orders.list(),
    "product": lambda polar: polar.products.get(MISSING),
    "product_missing": lambda polar: polar.products.get(MISSING),
    "products": lambda polar: polar.products.list(),
    "subscriptions": lambda polar: polar.subscriptions.list(),
    "unknown_version": lambda polar: polar.meters.list(),
    "webhook_deliveries": lambda polar: polar.webhooks.list_webhook_deliveries(),
    "webhook_deliveries_failed": lambda polar: polar.webhooks.list_webhook_deliveries(),
    "webhook_endpoints": lambda polar: polar.webhooks.list_webhook_endpoints(),
}
"""What asks for each recorded answer; the request itself makes no difference."""

UNREADABLE = "customer_state"
"""In the client of 1.0.2, an active subscription in a customer's state has the constants of a licence key."""

ASKED: Mapping[str, Call] = {
    "events": lambda polar: polar.events.list(name="api_usage", metadata={"granted_by": "credit-granter"}),
    "customer meters": lambda polar: polar.customer_meters.list(customer_id=CUSTOMER),
    "meters": lambda polar: polar.meters.list(),
    "products": lambda polar: polar.products.list(),
    "customers": lambda polar: polar.customers.list(),
    "orders": lambda polar: polar.orders.list(status=["paid"], sorting=["created_at"]),
    "disputes": lambda polar: polar.disputes.list(status="lost"),
    "subscriptions": lambda polar: polar.subscriptions.list(),
    "endpoints": lambda polar: polar.webhooks.list_webhook_endpoints(),
    "deliveries": lambda polar: polar.webhooks.list_webhook_deliveries(succeeded=False),
}
"""The lists of the stand-in."""


def as_sent_today(value: Any, name: str = "") -> Any:
    """Return ``value`` with the fields that Polar has added since the recording."""
    if isinstance(value, list):
        return [as_sent_today(one, name) for one in value]
    if isinstance(value, dict):
        return {**ADDED_SINCE.get(name, {}), **{key: as_sent_today(one, key) for key, one in value.items()}}
    return value


def read(answer: Answer, call: Call) -> object:
    """Return what the official client makes of an answer, which may be an exception."""
    from polar.base import PolarClientError  # noqa: PLC0415 # see above
    from polar.v2026_10 import Polar as Official  # noqa: PLC0415 # see above

    def answer_of_today(request: httpx.Request) -> httpx.Response:
        got = answer(request)
        return httpx.Response(got.status_code, json=as_sent_today(got.json()))

    with respx.mock, Official(TOKEN, base_url="http://polar.example") as client:
        respx.route().mock(side_effect=answer_of_today)
        try:
            return call(client)
        except PolarClientError as error:
            return error


def answers_of(polar: Polar) -> Answer:
    """Return what answers the official client's requests as the stand-in does."""

    def answer(request: httpx.Request) -> httpx.Response:
        path, headers = request.url.raw_path.decode(), dict(request.headers)
        return ask(polar, request.method, path, token=None, headers=headers, content=request.content)

    return answer


def test_recorded_webhooks_are_what_polar_says_it_sends() -> None:
    from polar.base import deserialize  # noqa: PLC0415 # see above
    from polar.v2026_10.webhooks import WebhookPayload  # noqa: PLC0415 # see above

    fields = [get_type_hints(one) for one in get_args(WebhookPayload)]
    models = {get_args(one["type"])[0]: one["data"] for one in fields}
    bodies = [json.loads(payload(name)) for name in (*REAL, *FLOWS)]
    read = [deserialize(as_sent_today(body["data"]), models[body["type"]]) for body in bodies]
    assert [one.id for one in read] == [body["data"]["id"] for body in bodies]


def test_recorded_answers_are_what_polar_says_it_answers() -> None:
    assert set(RECORDED) | {UNREADABLE} == {path.stem for path in RESPONSES.glob("*.json")}
    for name, call in RECORDED.items():
        record = recorded(name)
        answer = httpx.Response(record["status"], json=record["body"])
        result = read(lambda _, answer=answer: answer, call)  # type: ignore[misc] # mypy infers no default
        assert getattr(result, "status_code", 200) == record["status"], name


def test_answers_of_the_stand_in_are_what_polar_says_it_answers(polar: Polar) -> None:
    product = polar.add_product(recurring_interval="month", recurring_interval_count=1)
    seeding.add_past_sales(polar)
    polar.add_dispute(next(iter(polar.orders)), amount=1200, tax_amount=200)
    polar.add_subscription(**json.loads(payload("subscription_resumed"))["data"])
    polar.add_endpoint(url="https://credits.example/webhooks/polar", secret="whsec_x", events=["order.paid"])
    ingest(polar, event(metadata={"units": -10, "granted_by": "credit-granter"}))
    answers, meter = answers_of(polar), str(polar.meters["api_usage"].id)

    for name, call in ASKED.items():
        assert len(getattr(read(answers, call), "items", ())) >= 1, name
    sums = read(answers, lambda polar: polar.meters.quantities(meter, customer_id=CUSTOMER, **SINCE_2024))
    assert getattr(sums, "total", None) == -10
    read(answers, lambda polar: polar.products.get(str(product.id)))
    state = read(answers, lambda polar: polar.customers.get_state(CUSTOMER))
    assert [one.balance for one in getattr(state, "active_meters", ())] == [10]


def test_what_init_creates_and_changes_is_what_polar_says_it_answers() -> None:
    standin = Polar(scopes=SETUP_SCOPES)
    answers = answers_of(standin)
    url = "https://credits.example/webhooks/polar"
    made: Any = read(
        answers,
        lambda polar: polar.webhooks.create_webhook_endpoint(url=url, format="raw", events=["order.paid"]),
    )
    assert (made.url, made.secret) == (url, standin.endpoints[0].secret)
    changed: Any = read(
        answers, lambda polar: polar.webhooks.update_webhook_endpoint(made.id, events=["order.refunded"])
    )
    assert (changed.events, changed.secret) == (["order.refunded"], made.secret)
    clause: Any = {"property": "name", "operator": "eq", "value": "api_usage"}
    meter: Any = read(
        answers,
        lambda polar: polar.meters.create(
            name="API usage",
            filter={"conjunction": "and", "clauses": [clause]},
            aggregation={"func": "sum", "property": "units"},
        ),
    )
    assert meter.id == str(standin.meters["API usage"].id)
    plain = read(
        answers,
        lambda polar: polar.webhooks.create_webhook_endpoint(url="http://a.example", format="raw", events=[]),
    )
    from polar.v2026_10 import errors  # noqa: PLC0415 # see above

    assert isinstance(plain, errors.HTTPValidationError)


def test_refusals_of_the_stand_in_are_what_polar_says_it_answers(polar: Polar) -> None:
    from polar.v2026_10 import errors  # noqa: PLC0415 # see above

    answers = answers_of(polar)
    unknown: Any = event(customer_id=MISSING)
    assert isinstance(
        read(answers, lambda polar: polar.events.ingest(events=[unknown])), errors.HTTPValidationError
    )
    assert isinstance(read(answers, lambda polar: polar.products.get(MISSING)), errors.ResourceNotFound)
    assert isinstance(read(answers, lambda polar: polar.customers.get(MISSING)), errors.ResourceNotFound)
