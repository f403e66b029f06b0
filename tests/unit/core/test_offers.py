"""What a request of the storefront for an offer comes to."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from tests.support.builders import CUSTOMER, offer, offer_request, offers_of, some_id
from workers.core.delivery_plans import plan_delivery
from workers.core.offers import OFFER, OfferRequest, offer_plan, read_offer_request, unknown_customer_plan
from workers.core.plans import Cap, Refusal
from workers.errors import UnreadablePayloadError

RULES = offers_of(
    offer("referral", {"api_usage": 200, "images": "0.5"}, most_per_customer=20),
    offer("welcome", {"seconds": 5}, once_per="customer"),
    offer("winter", {"images": 1}, **{"from": "2026-12-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}),
)


def test_each_key_gives_every_meter_of_the_offer() -> None:
    plan = offer_plan(offer_request(), CUSTOMER, RULES)
    assert [(one.key, one.units, one.property_name, one.rules) for one in plan.grants] == [
        ("credits:offer:referral:key:invitation-1:api_usage", Decimal(200), "units", ("referral",)),
        ("credits:offer:referral:key:invitation-1:images", Decimal("0.5"), "units", ("referral",)),
    ]
    assert plan.cap == Cap(offer="referral", most=20)
    assert plan.subject == "credits:offer:referral:key:invitation-1"


def test_an_offer_once_per_customer_is_keyed_by_the_customer() -> None:
    plan = offer_plan(offer_request("welcome", "any"), CUSTOMER, RULES)
    assert [one.key for one in plan.grants] == [f"credits:offer:welcome:customer:{CUSTOMER}:seconds"]
    assert plan.subject == "credits:offer:welcome:key:any"
    assert plan.cap is None


def test_an_unknown_offer_is_refused() -> None:
    plan = offer_plan(offer_request("refferal"), CUSTOMER, RULES)
    assert (plan.grants, plan.refusal, plan.skip) == ((), Refusal.OFFER, "the rules have no offer refferal")


@pytest.mark.parametrize(
    ("at", "why"),
    [
        ("2026-11-30T23:59:59.999Z", "before the offer starts at 2026-12-01T00:00:00Z"),
        ("2026-12-01T00:00:00Z", ""),
        ("2026-12-31T23:59:59.999Z", ""),
        ("2027-01-01T01:00:00+01:00", "but the offer ended at 2027-01-01T00:00:00Z"),
    ],
)
def test_an_offer_is_given_from_its_beginning_until_its_end(at: str, why: str) -> None:
    plan = offer_plan(offer_request("winter", requested_at=at), CUSTOMER, RULES)
    assert plan.refusal == (Refusal.WINDOW if why else None)
    assert plan.skip.endswith(why)
    assert bool(plan.grants) is not bool(why)


def test_a_customer_whom_polar_does_not_know_gets_nothing() -> None:
    request = offer_request(customer_id=None, external_customer_id="user_42")
    plan = unknown_customer_plan(request)
    assert (plan.grants, plan.refusal) == ((), Refusal.CUSTOMER)
    assert plan.skip == "Polar has no customer with the external id user_42"


@pytest.mark.parametrize(("customer_id", "external_id"), [(some_id(1), None), (None, "ü/1 2")])
def test_a_request_survives_its_delivery(customer_id: str | None, external_id: str | None) -> None:
    request = offer_request(customer_id=customer_id, external_customer_id=external_id)
    assert read_offer_request(request.body) == request
    assert plan_delivery(OFFER, request.body, RULES).offer == request


def test_the_ids_of_deliveries_never_collide() -> None:
    pairs = [("a-b", "c"), ("a", "b-c"), ("a", "b.c"), ("a-b-c", "d")]
    assert len({offer_request(*pair).delivery_id for pair in pairs}) == len(pairs)


@pytest.mark.parametrize(
    "wrong",
    [
        {"customer_id": None},
        {"external_customer_id": "both"},
        {"customer_id": "nonsense"},
        {"customer_id": None, "external_customer_id": ""},
        {"customer_id": None, "external_customer_id": "x" * 201},
        {"key": "a:b"},
        {"key": ""},
        {"key": "x" * 65},
        {"key": "a\n"},
        {"offer": "a:b"},
        {"requested_at": "2026-11-29T07:00:00"},
    ],
)
def test_other_requests_cannot_be_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OfferRequest.model_validate({**offer_request().model_dump(), **wrong})


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'{"data":[]}', b'{"data":{"offer":"a"}}', b"[" * 9000]
)
def test_a_damaged_body_fails_its_delivery(body: bytes) -> None:
    with pytest.raises(UnreadablePayloadError):
        read_offer_request(body)
    assert plan_delivery(OFFER, body, RULES).failure
