"""What would come of what is asked for, given who is there and what stands."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from tests.support.builders import CUSTOMER, rules_of, some_id
from workers.core.claims import Claim, Standing
from workers.core.customers import CustomerName
from workers.operations.manual_grant.preview import Offer, offers
from workers.operations.manual_grant.request import Wish, WishReader

THEN = datetime(2026, 11, 21, tzinfo=UTC)
AT = "2026-11-21T00:00:00Z"


def wish(place: str = "many.csv:2", *, creates: bool = False, **fields: str) -> Wish:
    usual = {"email": "ada@example.com", "meter": "api_usage", "units": "5", "key": "beta"}
    read = WishReader(meters=rules_of().meters, creates=creates).read(usual | fields, place)
    assert isinstance(read, Wish)
    return read


def claim(one: Wish, customer_id: str = CUSTOMER, *, settled: bool = True) -> Claim:
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
    *wishes: Wish,
    ids: dict[CustomerName, str] | None = None,
    stands: Claim | None = None,
    creates: bool = False,
) -> tuple[list[Offer], list[str]]:
    """Look at wishes; of none whose customer is named in ``ids`` every customer is the usual one."""
    known = {one.customer: CUSTOMER for one in wishes} if ids is None else ids
    standings = {one.subject: Standing(subject=one.subject) for one in wishes}
    if stands:
        standings[stands.subject] = Standing(subject=stands.subject, claims=(stands,))
    return offers(wishes, known, standings, creates=creates)


def test_what_is_new_would_be_granted() -> None:
    ((offer,), problems) = see(wish())
    assert (offer.would, offer.is_done, offer.granted_to, problems) == (
        "grant 5 api_usage", False, CUSTOMER, [],
    )  # fmt: skip


def test_what_polar_has_is_done() -> None:
    ((offer,), problems) = see(wish(), stands=claim(wish()))
    assert (offer.would, offer.is_done, problems) == (
        f"nothing: 5 api_usage already granted, {AT}", True, [],
    )  # fmt: skip


def test_what_is_begun_would_go_on_for_whom_it_was_begun() -> None:
    ((offer,), problems) = see(wish(), stands=claim(wish(), settled=False), ids={})
    assert (offer.would, offer.is_done, problems) == (f"grant 5 api_usage, as begun {AT}", False, [])
    assert (offer.granted_to, offer.newcomer) == (CUSTOMER, None)


def test_another_amount_by_the_same_key_is_a_problem() -> None:
    found, problems = see(wish(), stands=claim(wish(units="6")))
    assert found == []
    assert problems == [
        f"many.csv:2: key beta: 6 api_usage was granted under it at {AT}; another amount needs another key"
    ]


def test_an_amount_written_otherwise_is_the_same() -> None:
    assert see(wish(units="5.0"), stands=claim(wish()))[1] == []


def test_a_name_that_has_gone_to_somebody_else_is_a_problem() -> None:
    _, (problem,) = see(wish(), stands=claim(wish(), some_id(9)))
    assert f"to customer {some_id(9)}, who was called 'ada@example.com' then" in problem


def test_of_a_customer_who_has_left_what_was_granted_stands() -> None:
    ((offer,), problems) = see(wish(), stands=claim(wish()), ids={})
    assert (offer.is_done, problems) == (True, [])


def test_nobody_is_granted_anything_whom_polar_does_not_know() -> None:
    _, (problem,) = see(wish(), ids={})
    assert problem == (
        "many.csv:2: Polar knows no customer with the email 'ada@example.com'; "
        "--create creates who is missing"
    )
    _, (by_id,) = see(wish(email="", customer_id=CUSTOMER, place=""), ids={})
    assert by_id == f"Polar knows no customer with the customer_id '{CUSTOMER}'"


def test_who_is_missing_would_be_created_given_an_address() -> None:
    ((offer,), problems) = see(wish(creates=True), ids={}, creates=True)
    assert (offer.would, problems) == ("create ada@example.com, grant 5 api_usage", [])
    nameless = wish(creates=True, email="", external_customer_id="user-1")
    _, (problem,) = see(nameless, ids={}, creates=True)
    assert problem.endswith("'user-1'; to create them, give an email as well")


def test_one_customer_by_two_names_is_one_customer() -> None:
    two = wish("many.csv:3", email="", customer_id=CUSTOMER)
    _, (problem,) = see(wish(), two)
    assert problem == "many.csv:3: the same customer, meter and key as many.csv:2, by another name"
    assert see(wish(), replace(two, key="other"))[1] == []
    assert see(wish(), replace(two, units=Decimal(6)), ids={wish().customer: some_id(3)})[1] != []
