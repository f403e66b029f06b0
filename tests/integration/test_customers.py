"""Customers are found by whatever somebody calls them, with as few requests as that takes."""

from datetime import timedelta
from uuid import uuid4

import pytest
from redis import Redis

from app.demo.polar import Polar
from tests.support.builders import some_id
from tests.support.polar_standin import client_of
from workers.core.customers import CustomerName, NameKind, NewCustomer
from workers.errors import PolarDeniedError, PolarRefusedError
from workers.operations.customers import Customers
from workers.operations.pacing import Pacer
from workers.store.throttle import Throttle


class Ample(Throttle):
    """A share of the rate limit that is never used up; counts what is taken of it."""

    taken = 0

    def background_delay(self, *, take: bool, is_awaited: bool = False) -> timedelta:
        """Let every request be made."""
        self.taken += take
        return timedelta(0)


@pytest.fixture
def polar() -> Polar:
    """Return an organization with thirty customers and more than a page of others."""
    polar = Polar()
    for number in range(120):
        polar.add_customer(some_id(number), email=f"User-{number}@example.com", external_id=f"user:{number}")
    return polar


@pytest.fixture
def share(redis: Redis) -> Ample:
    return Ample(redis)


def find(polar: Polar, share: Ample, *names: CustomerName) -> dict[CustomerName, str]:
    with client_of(polar) as client:
        return Customers(client, Pacer(throttle=share)).find(names, lambda *_: None)


def name_of(number: int, kind: NameKind) -> CustomerName:
    texts = {
        NameKind.ID: some_id(number),
        NameKind.EXTERNAL: f"user:{number}",
        NameKind.EMAIL: f"user-{number}@example.com",
    }
    return CustomerName(kind, texts[kind])


@pytest.mark.parametrize("kind", NameKind)
@pytest.mark.parametrize("count", [1, 30])
def test_they_are_found_by_each_kind_of_name(polar: Polar, share: Ample, kind: NameKind, count: int) -> None:
    found = find(polar, share, *(name_of(number, kind) for number in range(count)))
    assert found == {name_of(number, kind): some_id(number) for number in range(count)}


def test_few_are_asked_for_one_by_one_and_each_but_once(polar: Polar, share: Ample) -> None:
    find(polar, share, *(name_of(number, NameKind.EMAIL) for number in (1, 2, 1)))
    assert share.taken == 2


def test_for_many_the_list_of_all_is_read(polar: Polar, share: Ample) -> None:
    find(polar, share, *(name_of(number, NameKind.ID) for number in range(120)))
    assert share.taken == 2


def test_a_list_that_is_longer_than_the_file_is_not_read(polar: Polar, share: Ample) -> None:
    for number in range(120, 2200):
        polar.add_customer(some_id(number))
    assert len(find(polar, share, *(name_of(number, NameKind.ID) for number in range(21)))) == 21
    assert share.taken == 1 + 21


def test_who_is_not_in_the_list_is_looked_for_once_more(polar: Polar, share: Ample) -> None:
    """Somebody may have left while it was read, and moved another to a page that was read before."""
    names = [
        *(name_of(number, NameKind.ID) for number in range(30)),
        CustomerName(NameKind.EXTERNAL, "nobody"),
    ]
    assert len(find(polar, share, *names)) == 30
    assert share.taken == 2 + 1


def test_many_strangers_cost_one_reading_of_the_list(polar: Polar, share: Ample) -> None:
    """Five hundred unknown addresses took a request each, and minutes."""
    strangers = [CustomerName(NameKind.EMAIL, f"nobody-{number}@example.com") for number in range(500)]
    assert find(polar, share, *strangers) == {}
    assert share.taken == 2


def test_nobody_is_found_by_a_name_that_polar_does_not_know(polar: Polar, share: Ample) -> None:
    strangers = [
        CustomerName(NameKind.ID, str(uuid4())),
        CustomerName(NameKind.EXTERNAL, "a/b"),
        CustomerName(NameKind.EMAIL, "a@b.example"),
    ]
    assert find(polar, share, *strangers) == {}


def test_a_token_that_may_only_ingest_takes_an_id_at_its_word(polar: Polar, share: Ample) -> None:
    polar.scopes = frozenset({"events:write"})
    name = CustomerName(NameKind.ID, some_id(7))
    assert find(polar, share, name) == {name: some_id(7)}
    with pytest.raises(PolarDeniedError, match="give the token the scope customers:read"):
        find(polar, share, name_of(7, NameKind.EMAIL))


@pytest.mark.parametrize("kind", NameKind)
def test_a_token_that_may_only_ingest_is_told_what_it_lacks_to_read_the_list(
    polar: Polar, share: Ample, kind: NameKind
) -> None:
    polar.scopes = frozenset({"events:write"})
    with pytest.raises(PolarDeniedError, match="give the token the scope customers:read"):
        find(polar, share, *(name_of(number, kind) for number in range(30)))


def test_who_is_missing_can_be_created_but_not_with_anothers_address(polar: Polar, share: Ample) -> None:
    with client_of(polar) as client:
        customers = Customers(client, Pacer(throttle=share))
        created = customers.create(NewCustomer("new@example.com", "New", "user:new"))
        assert polar.customers[created].external_id == "user:new"
        with pytest.raises(PolarRefusedError, match="already exists"):
            customers.create(NewCustomer("new@example.com", None, None))
