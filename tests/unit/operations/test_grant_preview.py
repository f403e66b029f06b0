"""What would come of what is asked for, given who is there and what stands."""

from datetime import UTC, datetime
from decimal import Decimal

from msgspec.structs import replace

from tests.support.builders import CUSTOMER, rules_of, some_id
from workers.core.claims import Claim, Standing
from workers.core.customers import CustomerName
from workers.operations.manual_grant.preview import GrantPreview, preview_all
from workers.operations.manual_grant.request import GrantRequest, GrantRequestReader

THEN = datetime(2026, 11, 21, tzinfo=UTC)
AT = "2026-11-21T00:00:00Z"


def request(place: str = "many.csv:2", *, create_missing: bool = False, **fields: str) -> GrantRequest:
    usual = {"email": "ada@example.com", "meter": "api_usage", "units": "5", "key": "beta"}
    read = GrantRequestReader(meters=rules_of().meters, create_missing=create_missing).read(
        usual | fields, place
    )
    assert isinstance(read, GrantRequest)
    return read


def claim(one: GrantRequest, customer_id: str = CUSTOMER, *, settled: bool = True) -> Claim:
    plan = one.for_customer(customer_id).plan()
    moments = {one.meter.name: THEN} if settled else {}
    return Claim(
        subject=plan.subject,
        delivery_id=one.delivery_id,
        claimed_at=THEN,
        grants=plan.grants,
        settled=moments,
    )


def see(
    *requests: GrantRequest,
    ids: dict[CustomerName, str] | None = None,
    stands: Claim | None = None,
    create_missing: bool = False,
) -> tuple[list[GrantPreview], list[str]]:
    """Look at wishes; of none whose customer is named in ``ids`` every customer is the usual one."""
    known = {one.customer: CUSTOMER for one in requests} if ids is None else ids
    standings = {one.subject: Standing(subject=one.subject) for one in requests}
    if stands:
        standings[stands.subject] = Standing(subject=stands.subject, claims=(stands,))
    return preview_all(requests, known, standings, create_missing=create_missing)


def test_what_is_new_would_be_granted() -> None:
    ((preview,), problems) = see(request())
    assert (preview.dry_run_text, preview.is_done, preview.granted_to, problems) == (
        "grant 5 api_usage", False, CUSTOMER, [],
    )  # fmt: skip


def test_what_polar_has_is_done() -> None:
    ((preview,), problems) = see(request(), stands=claim(request()))
    assert (preview.dry_run_text, preview.is_done, problems) == (
        f"nothing: 5 api_usage already granted, {AT}", True, [],
    )  # fmt: skip


def test_what_is_begun_would_go_on_for_whom_it_was_begun() -> None:
    ((preview,), problems) = see(request(), stands=claim(request(), settled=False), ids={})
    assert (preview.dry_run_text, preview.is_done, problems) == (f"grant 5 api_usage, begun {AT}", False, [])
    assert (preview.granted_to, preview.new_customer) == (CUSTOMER, None)


def test_another_amount_by_the_same_key_is_a_problem() -> None:
    found, problems = see(request(), stands=claim(request(units="6")))
    assert found == []
    assert problems == [
        f"many.csv:2: key beta already granted 6 api_usage at {AT}; use another key for another amount"
    ]


def test_an_amount_written_otherwise_is_the_same() -> None:
    assert see(request(units="5.0"), stands=claim(request()))[1] == []


def test_a_name_that_has_gone_to_somebody_else_is_a_problem() -> None:
    _, (problem,) = see(request(), stands=claim(request(), some_id(9)))
    assert f"to customer {some_id(9)}, whose name then was 'ada@example.com'" in problem


def test_of_a_customer_who_has_left_what_was_granted_stands() -> None:
    ((preview,), problems) = see(request(), stands=claim(request()), ids={})
    assert (preview.is_done, problems) == (True, [])


def test_nobody_is_granted_anything_whom_polar_does_not_know() -> None:
    _, (problem,) = see(request(), ids={})
    assert problem == (
        "many.csv:2: Polar has no customer with the email 'ada@example.com'; "
        "--create creates missing customers"
    )
    _, (by_id,) = see(request(email="", customer_id=CUSTOMER, place=""), ids={})
    assert by_id == f"Polar has no customer with the customer_id '{CUSTOMER}'"


def test_who_is_missing_would_be_created_given_an_address() -> None:
    ((preview,), problems) = see(request(create_missing=True), ids={}, create_missing=True)
    assert (preview.dry_run_text, problems) == ("create ada@example.com, grant 5 api_usage", [])
    nameless = request(create_missing=True, email="", external_customer_id="user-1")
    _, (problem,) = see(nameless, ids={}, create_missing=True)
    assert problem.endswith("'user-1'; to create the customer, give an email too")


def test_one_customer_by_two_names_is_one_customer() -> None:
    two = request("many.csv:3", email="", customer_id=CUSTOMER)
    _, (problem,) = see(request(), two)
    assert problem == "many.csv:3: the same customer, meter and key as many.csv:2, under another name"
    assert see(request(), replace(two, key="other"))[1] == []
    assert see(request(), replace(two, units=Decimal(6)), ids={request().customer: some_id(3)})[1] != []
