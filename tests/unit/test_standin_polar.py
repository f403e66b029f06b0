"""The stand-in for Polar answers as Polar did, and keeps what Polar keeps."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.demo.polar import (
    CommitThenBreak,
    Customer,
    Garbage,
    Meter,
    Polar,
    RateLimited,
    Slow,
    Status,
    create_app,
)
from tests.servers import running

RESPONSES = Path(__file__).parents[1] / "responses"
CUSTOMER = "2be1e608-32d5-4adb-aa15-bf61ea0cfb0b"
INGEST = "/v1/events/ingest"
TOKEN = Polar.token


def recorded(name: str) -> dict[str, Any]:
    """Return a request that was made to a real Polar server, and its answer."""
    answer: dict[str, Any] = json.loads((RESPONSES / f"{name}.json").read_text())
    return answer


@pytest.fixture
def polar() -> Polar:
    """Return the organization of the recordings: its customer and its two meters."""
    polar = Polar()
    customer = Customer.model_validate(recorded("customer")["body"])
    polar.customers[str(customer.id)] = customer
    for item in recorded("meters")["body"]["items"]:
        polar.meters[item["name"]] = Meter.model_validate(item)
    return polar


def ask(polar: Polar, method: str, path: str, *, token: str | None = TOKEN, **kwargs: Any) -> httpx.Response:
    """Make one request without a socket."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(polar))
        async with httpx.AsyncClient(transport=transport, base_url="http://polar") as client:
            headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
            headers |= kwargs.pop("headers", {})
            return await client.request(method, path, headers=headers, **kwargs)

    return asyncio.run(request())


def ingest(polar: Polar, *events: dict[str, Any]) -> httpx.Response:
    """Ingest one batch."""
    return ask(polar, "POST", INGEST, json={"events": events})


def event(**fields: Any) -> dict[str, Any]:
    """Return an event that credits ten units, but for ``fields``; None leaves a field out."""
    whole = {"name": "api_usage", "customer_id": CUSTOMER, "metadata": {"units": -10}, **fields}
    return {name: value for name, value in whole.items() if value is not None}


def agree(answer: httpx.Response, record: dict[str, Any]) -> None:
    """Assert that status, body and the recorded headers are the same."""
    assert answer.status_code == record["status"]
    assert answer.json() == record["body"]
    assert {name: answer.headers.get(name) for name in record["headers"]} == record["headers"]


def replayed(polar: Polar, record: dict[str, Any], **kwargs: Any) -> httpx.Response:
    """Make a recorded request."""
    request = record["request"]
    body = request["body"]
    if isinstance(body, str):
        kwargs["content"] = body
    elif body is not None:
        kwargs["json"] = body
    return ask(polar, request["method"], request["path"], **kwargs)


@pytest.mark.parametrize(
    "name",
    [
        "customer",
        "customer_by_external_id",
        "customer_create_bad_email",
        "customer_missing",
        "customers_by_email",
        "ingest_inserted",
        "ingest_not_json",
        "ingest_unknown_customer",
        "meters",
        "not_found_path",
    ],
)
def test_a_recorded_request_gets_the_recorded_answer(polar: Polar, name: str) -> None:
    record = recorded(name)

    agree(replayed(polar, record), record)


def test_bad_shapes_get_the_recorded_answer(polar: Polar) -> None:
    """All entries are the same, but that releases of pydantic count a UUID's characters from 0 or 1."""
    record = recorded("ingest_bad_shapes")

    answer = replayed(polar, record)

    assert answer.status_code == record["status"]
    assert without_positions(answer.json()) == without_positions(record["body"])


def without_positions(body: dict[str, Any]) -> dict[str, Any]:
    """Return ``body`` without the place at which a character of a UUID is wrong."""
    text = re.sub(r"(invalid character: found `.`) at [0-9]+", r"\1", json.dumps(body))
    blurred: dict[str, Any] = json.loads(text)
    return blurred


def test_the_recorded_duplicate_is_counted_and_not_stored(polar: Polar) -> None:
    replayed(polar, recorded("ingest_inserted"))

    agree(replayed(polar, recorded("ingest_duplicate")), recorded("ingest_duplicate"))
    assert len(polar.events) == 1


@pytest.mark.parametrize(
    ("name", "token"), [("ingest_no_token", None), ("ingest_bad_token", "polar_oat_other")]
)
def test_a_stranger_is_turned_away_in_the_recorded_words(polar: Polar, name: str, token: str | None) -> None:
    agree(replayed(polar, recorded(name), token=token), recorded(name))


def test_a_token_without_the_scope_is_turned_away_in_the_recorded_words(polar: Polar) -> None:
    polar.scopes = frozenset({"events:read"})

    agree(replayed(polar, recorded("ingest_missing_scope")), recorded("ingest_missing_scope"))


def test_an_unknown_version_gets_the_recorded_answer(polar: Polar) -> None:
    record = recorded("unknown_version")

    agree(replayed(polar, record, headers={"Polar-Version": "2020-01"}), record)


@pytest.mark.parametrize("headers", [{}, {"Polar-Version": "2026-04"}, {"Polar-Version": "2026-10"}])
def test_known_versions_and_none_are_served(polar: Polar, headers: dict[str, str]) -> None:
    assert ask(polar, "GET", "/v1/meters/", headers=headers).status_code == 200


def test_balances_are_shown_in_the_recorded_form(polar: Polar) -> None:
    """All but the ids and times of the rows, which Polar makes up, are as recorded."""
    record = recorded("customer_meters")
    ingest(polar, event(metadata={"units": -50}), event(name="image_generation", metadata={"x": 1}))

    answer = replayed(polar, record).json()

    assert without_made_up(answer["items"]) == without_made_up(record["body"]["items"])
    assert answer["pagination"] == record["body"]["pagination"]
    assert answer["items"][0].keys() == record["body"]["items"][0].keys()


def without_made_up(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``rows`` by meter, without what differs from one server to the next."""
    made_up = {"id", "created_at", "modified_at"}
    kept = [{k: v for k, v in row.items() if k not in made_up} for row in rows]
    return sorted(kept, key=lambda row: str(row["meter"]["name"]))


def test_a_customer_without_events_has_no_balances(polar: Polar) -> None:
    assert ask(polar, "GET", f"/v1/customer-meters/?customer_id={CUSTOMER}").json()["items"] == []


def test_negative_units_are_credits_left(polar: Polar) -> None:
    ingest(polar, event(metadata={"units": -10}), event(metadata={"units": 3}))

    assert polar.balance(CUSTOMER, "api_usage") == Decimal(7)


def test_tenths_add_up_without_binary_dust(polar: Polar) -> None:
    ingest(polar, *[event(metadata={"units": -0.1})] * 3)

    assert polar.balance(CUSTOMER, "api_usage") == Decimal("0.3")
    assert balances(polar) == {"api_usage": 0.3}


def balances(polar: Polar) -> dict[str, float]:
    """Return the balances that the API shows, by meter."""
    rows = ask(polar, "GET", "/v1/customer-meters/", params={"customer_id": CUSTOMER}).json()
    return {row["meter"]["name"]: row["balance"] for row in rows["items"]}


@pytest.mark.parametrize("metadata", [{"units": "-10"}, {"units": True}, {"other": -10}, {}])
def test_units_that_are_no_number_are_taken_and_not_counted(polar: Polar, metadata: dict[str, Any]) -> None:
    assert ingest(polar, event(metadata=metadata)).json() == {"inserted": 1, "duplicates": 0}
    assert polar.balance(CUSTOMER, "api_usage") == 0


def test_a_meter_may_sum_another_property() -> None:
    polar = Polar()
    polar.add_customer(CUSTOMER)
    polar.add_meter("seconds", "length")

    ingest(polar, event(name="seconds", metadata={"length": -60, "units": -1}))

    assert polar.balance(CUSTOMER, "seconds") == 60


def test_an_external_id_is_taken_once_for_ever_whatever_else_the_event_says(polar: Polar) -> None:
    ingest(polar, event(external_id="key"))

    answer = ingest(polar, event(external_id="key", metadata={"units": -99}))

    assert answer.json() == {"inserted": 0, "duplicates": 1}
    assert polar.events == [event(external_id="key")]


def test_duplicates_inside_one_batch_are_found(polar: Polar) -> None:
    answer = ingest(polar, event(external_id="key"), event(external_id="key"), event())

    assert answer.json() == {"inserted": 2, "duplicates": 1}


def test_one_unknown_customer_fails_the_whole_batch(polar: Polar) -> None:
    stranger = "94b037a6-bdc5-46af-b6e9-3460b2defe5d"

    answer = ingest(polar, event(external_id="key"), event(customer_id=stranger))

    assert answer.status_code == 422
    assert polar.events == []
    assert ingest(polar, event(external_id="key")).json() == {"inserted": 1, "duplicates": 0}


def test_shape_errors_hide_customer_errors(polar: Polar) -> None:
    stranger = "94b037a6-bdc5-46af-b6e9-3460b2defe5d"

    answer = ingest(polar, event(customer_id=stranger), event(metadata={"x": None})).json()

    assert answer["error"] == "RequestValidationError"
    assert {entry["loc"][2] for entry in answer["detail"]} == {1}


def test_an_external_customer_is_counted_once_known(polar: Polar) -> None:
    ingest(polar, event(customer_id=None, external_customer_id="user_43"))

    made = ask(polar, "POST", "/v1/customers/", json={"email": "b@example.com", "external_id": "user_43"})

    assert made.status_code == 201
    assert polar.balance(made.json()["id"], "api_usage") == 10


@pytest.mark.parametrize("fields", [{}, {"timestamp": "2020-01-01T00:00:00Z"}])
def test_of_two_customer_ids_only_the_external_one_is_kept(polar: Polar, fields: dict[str, Any]) -> None:
    ingest(polar, event(external_customer_id="somebody", **fields))

    assert polar.events[0].get("external_customer_id") == "somebody"
    assert "customer_id" not in polar.events[0]
    assert polar.balance(CUSTOMER, "api_usage") == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "n" * 128},
        {"metadata": {"x": "v" * 500}},
        {"metadata": {"k" * 40: 1}},
        {"metadata": {f"k{n}": 1 for n in range(50)}},
        {"metadata": {"x": True, "y": 1.5}},
        {"timestamp": "2020-01-01T00:00:00Z"},
        {"external_id": "k" * 2600},
    ],
)
def test_what_is_just_within_the_rules_is_stored(polar: Polar, fields: dict[str, Any]) -> None:
    assert ingest(polar, event(**fields)).json() == {"inserted": 1, "duplicates": 0}


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"name": "n" * 129}, "string_too_long"),
        ({"metadata": {"x": "v" * 501}}, "string_too_long"),
        ({"metadata": {"x": ""}}, "string_too_short"),
        ({"metadata": {"x": {}}}, "string_type"),
        ({"metadata": {"k" * 41: 1}}, "string_too_long"),
        ({"metadata": {f"k{n}": 1 for n in range(51)}}, "too_long"),
        ({"customer_id": "2be1e608-32d5-1adb-aa15-bf61ea0cfb0b"}, "uuid_version"),
        ({"timestamp": "2099-01-01T00:00:00Z"}, "value_error"),
    ],
)
def test_what_is_just_outside_the_rules_is_named(polar: Polar, fields: dict[str, Any], kind: str) -> None:
    answer = ingest(polar, event(**fields))

    assert answer.status_code == 422
    first = answer.json()["detail"][0]
    assert first["type"] == kind
    assert first["loc"][:4] == ["body", "events", 0, "EventCreateCustomer"]
    assert polar.events == []


@pytest.mark.parametrize("body", [[], {}, {"events": {}}, {"events": [7]}, "text", None])
def test_a_body_of_another_shape_is_refused(polar: Polar, body: Any) -> None:
    answer = ask(polar, "POST", INGEST, json=body)

    assert answer.status_code == 422
    assert answer.json()["error"] == "RequestValidationError"


def test_the_database_refuses_the_4682nd_metered_event(polar: Polar) -> None:
    answer = ingest(polar, *[event()] * 4682)

    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert polar.events == []
    assert ingest(polar, *[event()] * 4681).json() == {"inserted": 4681, "duplicates": 0}


def test_events_that_no_meter_counts_may_be_more(polar: Polar) -> None:
    answer = ingest(polar, *[event(name="other")] * 4682)

    assert answer.json() == {"inserted": 4682, "duplicates": 0}


def test_the_database_refuses_an_endless_external_id(polar: Polar) -> None:
    answer = ingest(polar, event(external_id="short"), event(external_id="k" * 2601))

    assert answer.status_code == 500
    assert polar.events == []


def test_a_body_over_ten_mebibytes_is_not_read(polar: Polar) -> None:
    answer = ask(polar, "POST", INGEST, content=b" " * (10 * 1024 * 1024 + 1))

    assert answer.status_code == 413
    assert [attempt.status for attempt in polar.received] == [413]


def test_a_body_without_a_length_is_not_read(polar: Polar) -> None:
    async def chunks() -> Any:
        yield b"{}"

    assert ask(polar, "POST", INGEST, content=chunks()).status_code == 411


def test_paths_are_exact(polar: Polar) -> None:
    assert ask(polar, "GET", "/v1/customer-meters").status_code == 307
    assert ask(polar, "POST", f"{INGEST}/", json={}).status_code == 307


def test_requests_beyond_the_limit_wait_for_the_window_to_pass(polar: Polar) -> None:
    """Every path counts, and what is turned away does not."""
    now = 0.0
    polar.requests_per_minute, polar.clock = 2, lambda: now
    assert ask(polar, "GET", "/v1/nowhere/").status_code == 404
    assert ingest(polar, event()).status_code == 200

    refused = ingest(polar, event())

    assert (refused.status_code, refused.content) == (429, b"")
    assert refused.headers["retry-after"] == "60"
    now = 60.0
    assert ingest(polar, event()).status_code == 200


def test_every_attempt_is_remembered_with_what_it_met(polar: Polar) -> None:
    good, bad = event(external_id="key"), event(customer_id="nope")

    ingest(polar, good)
    ingest(polar, bad)
    ask(polar, "POST", INGEST, content="{")

    assert [(list(a.events), a.status) for a in polar.received] == [([good], 200), ([bad], 422), ([], 422)]


def test_events_can_be_read_back_but_for_their_external_id(polar: Polar) -> None:
    ours = {"units": -10, "granted_by": "credit-granter"}
    ingest(
        polar, event(external_id="a", metadata=ours), event(name="image_generation", metadata=ours), event()
    )

    answer = ask(
        polar,
        "GET",
        "/v1/events/",
        params={"metadata[granted_by]": "credit-granter", "name": "api_usage", "customer_id": CUSTOMER},
    ).json()

    assert answer["pagination"] == {"total_count": 1, "max_page": 1}
    (shown,) = answer["items"]
    assert shown["metadata"] == ours
    assert shown["customer"]["id"] == shown["customer_id"] == CUSTOMER
    assert "external_id" not in shown


def test_events_of_nobody_are_listed_without_a_customer(polar: Polar) -> None:
    ingest(polar, event(customer_id=None, external_customer_id="nobody"))

    (shown,) = ask(polar, "GET", "/v1/events/").json()["items"]

    assert (shown["customer"], shown["external_customer_id"]) == (None, "nobody")


def test_lists_come_in_pages_of_a_hundred_at_most(polar: Polar) -> None:
    ingest(polar, *[event(metadata={"n": n}) for n in range(101)])

    first = ask(polar, "GET", "/v1/events/", params={"limit": 1000}).json()
    second = ask(polar, "GET", "/v1/events/", params={"limit": 1000, "page": 2}).json()

    assert first["pagination"] == {"total_count": 101, "max_page": 2}
    assert [item["metadata"]["n"] for item in first["items"] + second["items"]] == list(range(100, -1, -1))
    assert ask(polar, "GET", "/v1/events/", params={"page": 0}).status_code == 422


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Status(503, "try later"), 503, "try later"),
        (RateLimited(retry_after=1), 429, ""),
        (Garbage(), 200, "<html>It works!</html>"),
        (Garbage('{"inserted": 0, "duplicates": 0}'), 200, '{"inserted": 0, "duplicates": 0}'),
    ],
)
def test_a_fault_answers_in_place_of_polar_and_only_once(
    polar: Polar, fault: Status | RateLimited | Garbage, status: int, body: str
) -> None:
    polar.faults.append(fault)

    answer = ingest(polar, event())

    assert (answer.status_code, answer.text) == (status, body)
    assert polar.events == []
    assert ingest(polar, event()).json() == {"inserted": 1, "duplicates": 0}


def test_a_rate_limit_says_how_long(polar: Polar) -> None:
    polar.faults.append(RateLimited(retry_after=1))

    assert ingest(polar, event()).headers["retry-after"] == "1"


@pytest.fixture
def server(polar: Polar) -> Iterator[httpx.Client]:
    """Return a client of a real server on a real socket."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with running(create_app(polar)) as url, httpx.Client(base_url=url, headers=headers) as client:
        yield client


def test_a_cut_connection_gives_no_answer_though_the_events_are_stored(
    polar: Polar, server: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    polar.faults.append(CommitThenBreak())
    batch = {"events": [event(external_id="key")]}

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        server.post(INGEST, json=batch)

    assert server.post(INGEST, json=batch).json() == {"inserted": 0, "duplicates": 1}
    assert polar.balance(CUSTOMER, "api_usage") == 10
    assert [
        r.getMessage() for r in caplog.records if r.name.startswith("uvicorn") and r.levelname == "ERROR"
    ] == []


def test_a_slow_polar_stores_what_the_client_no_longer_waits_for(polar: Polar, server: httpx.Client) -> None:
    polar.faults.append(Slow(0.2))

    with pytest.raises(httpx.ReadTimeout):
        server.post(INGEST, json={"events": [event()]}, timeout=0.05)

    while not polar.received:
        time.sleep(0.01)
    assert polar.balance(CUSTOMER, "api_usage") == 10


def test_the_connection_is_closed_after_a_500(polar: Polar, server: httpx.Client) -> None:
    answer = server.post(INGEST, json={"events": [event(external_id="k" * 3000)]})

    assert (answer.status_code, answer.headers["connection"]) == (500, "close")
    assert server.post(INGEST, json={"events": [event()]}).status_code == 200


def test_the_command_serves_quietly_until_it_is_told_to_stop() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "--customer", CUSTOMER, "--meter", "seconds:length"]
    with subprocess.Popen(
        [sys.executable, "-m", "app.demo.polar", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            meters = first_answer(process, f"http://127.0.0.1:{port}/v1/meters/")
        finally:
            process.terminate()
        printed, _ = process.communicate()

    assert [item["aggregation"] for item in meters["items"]] == [{"func": "sum", "property": "length"}]
    assert printed == ""


def first_answer(process: subprocess.Popen[str], url: str) -> dict[str, Any]:
    """Return what the server says once it is there."""
    while process.poll() is None:
        try:
            answer = httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"})
        except httpx.ConnectError:
            time.sleep(0.05)
            continue
        body: dict[str, Any] = answer.json()
        return body
    raise RuntimeError(f"the server ended with status {process.returncode}")
