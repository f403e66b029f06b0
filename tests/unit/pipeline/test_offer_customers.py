"""The customers of offers are looked up at Polar: one that cannot be does not keep the others waiting."""

from typing import Any

from tests.support.builders import offer_request
from workers.core.offers import OfferRequest
from workers.errors import PolarUnreachableError
from workers.pipeline.customers import OfferCustomers


class Polar:
    """Knows every customer, but fails for some."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.asked: list[str] = []

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        self.asked.append(customer_id)
        if customer_id in self.failing:
            raise PolarUnreachableError("Polar answered 500")
        return {"id": f"id-of-{customer_id}"}

    customer_by_external_id = customer


class WholeShare:
    """Always allows another request."""

    def take_request(self) -> bool:
        return True

    def pause_for_rate_limit(self, seconds: float, reason: str) -> None:
        raise NotImplementedError


def requests(*names: str) -> list[OfferRequest]:
    return [offer_request(key=name, customer_id=None, external_customer_id=name) for name in names]


def test_a_customer_for_whom_polar_always_fails_delays_the_others_once() -> None:
    polar = Polar("odd")
    finder = OfferCustomers(polar, WholeShare())
    wanted = requests("odd", "alice", "bob")
    found, why_not = finder.find(wanted)
    assert (found, why_not) == ({}, "its customer cannot be looked up: Polar answered 500")
    found, why_not = finder.find(wanted)
    assert set(found.values()) == {"id-of-alice", "id-of-bob"}
    assert why_not == "its customer cannot be looked up: Polar answered 500"


def test_a_customer_is_asked_for_once_while_polar_is_away() -> None:
    polar = Polar("alice", "bob", "carol")
    finder = OfferCustomers(polar, WholeShare())
    for _ in range(3):
        finder.find(requests("alice", "bob", "carol"))
    assert polar.asked == ["alice", "bob", "carol"]


def test_a_customer_who_is_found_again_waits_for_nobody() -> None:
    polar = Polar("odd")
    finder = OfferCustomers(polar, WholeShare())
    finder.find(requests("odd"))
    polar.failing.clear()
    assert finder.find(requests("odd"))[1] == ""
    polar.failing.add("alice")
    finder.find(requests("odd", "alice"))
    assert polar.asked == ["odd", "odd", "alice"]
