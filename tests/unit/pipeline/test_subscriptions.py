"""Subscriptions are looked up in bulk, within our share, and what a list leaves out is read singly."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.demo.polar import Polar
from tests.support.builders import some_id
from tests.support.polar_standin import TOKEN, ask, client_of
from workers.errors import PolarRateLimitedError
from workers.pipeline.subscriptions import Look, SubscriptionFinder
from workers.polar.client import Polar as Client

STARTED = datetime(2026, 1, 31, 12, tzinfo=UTC)
LIST, ONE = "/v1/subscriptions/", "/v1/subscriptions/{}"


class Share:
    """A share of the rate limit with this many requests left."""

    def __init__(self, left: int = 1000) -> None:
        self.left = left
        self.paused: list[float] = []

    def background_delay(self, *, take: bool) -> timedelta:
        """Take one."""
        self.left -= take
        return timedelta(seconds=int(self.left < 0))

    def pause_for_rate_limit(self, seconds: float, _reason: str) -> None:
        """Note the pause."""
        self.paused.append(seconds)


class Requests(list[httpx.URL]):
    """The URLs that were asked for; ``answers`` overrides the answer of the stand-in."""

    answers: dict[str, httpx.Response]


@contextmanager
def recording(polar: Polar) -> Iterator[tuple[Client, Requests]]:
    """Yield a client of the stand-in, and the requests that it makes."""
    made = Requests()
    made.answers = {}

    def answer(request: httpx.Request) -> httpx.Response:
        made.append(request.url)
        if given := made.answers.get(request.url.path):
            return given
        path = request.url.raw_path.decode()
        got = ask(polar, request.method, path, token=None, headers=dict(request.headers))
        return httpx.Response(got.status_code, headers=got.headers, content=got.content)

    client = Client(url="http://polar.example", token=TOKEN, transport=httpx.MockTransport(answer))
    try:
        yield client, made
    finally:
        client.close()


def subscribe(polar: Polar, number: int, customer: int | None = None, **fields: Any) -> None:
    """Add subscription ``number``, by default of the customer with the same number."""
    usual = {"id": some_id(number), "customer_id": some_id(number if customer is None else customer)}
    usual |= {"started_at": (STARTED + timedelta(minutes=number)).isoformat(), "status": "active"}
    polar.add_subscription(**{**usual, "product_id": some_id(9000), **fields})


def shop(customers: int) -> Polar:
    """Return a Polar where each of these customers has one subscription."""
    polar = Polar(requests_per_minute=10**6)
    for number in range(customers):
        subscribe(polar, number)
    return polar


def wanted(*numbers: int) -> dict[str, str]:
    return {some_id(number): some_id(number) for number in numbers}


def statuses(look: Look) -> set[str]:
    return {seen.row["status"] for seen in look.found.values() if seen.row}


def test_a_request_finds_the_subscriptions_of_a_hundred_customers() -> None:
    with recording(shop(250)) as (client, made):
        look = SubscriptionFinder(client, Share()).find(wanted(*range(250)))
    assert set(look.found) == set(wanted(*range(250)))
    assert (statuses(look), look.why_not) == ({"active"}, "")
    assert [url.path for url in made] == [LIST] * 3
    assert max(len(str(url)) for url in made) < 8000


def test_one_subscription_is_read_by_its_id() -> None:
    with recording(shop(3)) as (client, made):
        look = SubscriptionFinder(client, Share()).find(wanted(2))
    assert list(look.found) == [some_id(2)]
    assert [url.path for url in made] == [ONE.format(some_id(2))]


def test_customers_with_many_subscriptions_take_more_pages() -> None:
    polar = shop(2)
    for number in range(100, 320):
        subscribe(polar, number, customer=1, status="canceled")
    with recording(polar) as (client, made):
        sought = {some_id(number): some_id(1) for number in (*range(100, 110), *range(310, 320))}
        look = SubscriptionFinder(client, Share()).find({**wanted(0), **sought})
    assert look.found.keys() == {some_id(0), *sought}
    assert [url.params.get("page") for url in made] == ["1", "2", "3"]


def test_no_more_pages_are_read_than_it_takes_requests_to_read_the_rest_singly() -> None:
    polar = shop(2)
    for number in range(100, 1000):
        subscribe(polar, number, customer=1, status="canceled")
    hidden = some_id(5)  # no list has it
    with recording(polar) as (client, made):
        look = SubscriptionFinder(client, Share()).find({**wanted(0), hidden: some_id(1)})
    assert look.found[hidden].row is None
    assert len(made) <= 3


def test_one_subscription_at_which_polar_fails_stops_no_other() -> None:
    polar = shop(150)
    for number in (3, 140):
        del polar.subscriptions[some_id(number)]
    with recording(polar) as (client, made):
        made.answers[ONE.format(some_id(3))] = httpx.Response(500)
        look = SubscriptionFinder(client, Share()).find(wanted(*range(150)))
    assert set(wanted(*range(150))) - look.found.keys() == {some_id(3)}
    assert look.why_not == "its subscription cannot be looked up: Polar answered 500"


def test_what_a_list_leaves_out_is_read_singly() -> None:
    polar = shop(3)
    listed = ask(polar, "GET", LIST, params={"limit": 100}).json()
    listed["items"] = [row for row in listed["items"] if row["id"] != some_id(1)]
    with recording(polar) as (client, made):
        made.answers[LIST] = httpx.Response(
            200, json=listed, headers={"date": "Sun, 01 Feb 2026 00:00:00 GMT"}
        )
        look = SubscriptionFinder(client, Share()).find(wanted(0, 1, 2))
    assert set(look.found) == set(wanted(0, 1, 2))
    assert [url.path for url in made] == [LIST, ONE.format(some_id(1))]


def test_a_subscription_that_polar_does_not_have_is_told_apart_from_one_not_looked_up() -> None:
    with client_of(shop(1)) as client:
        look = SubscriptionFinder(client, Share()).find(wanted(0, 7))
    seen = look.found[some_id(7)]
    assert (seen.row, look.why_not) == (None, "")


def test_the_time_is_that_of_polars_answer() -> None:
    polar = shop(2)
    polar.ahead = timedelta(days=-400)
    with client_of(polar) as client:
        look = SubscriptionFinder(client, Share()).find(wanted(0, 1))
    then = datetime.now(UTC) - timedelta(days=400)
    assert all(then - timedelta(seconds=9) < seen.at <= then for seen in look.found.values())


def test_nothing_is_found_while_nobody_knows_polars_time() -> None:
    with recording(shop(1)) as (client, made):
        made.answers[ONE.format(some_id(0))] = httpx.Response(200, json={"id": some_id(0)})
        look = SubscriptionFinder(client, Share()).find(wanted(0))
    assert (look.found, look.why_not[:34]) == ({}, "Polar's answers have no Date, so n")


def test_no_more_requests_are_made_than_our_share_has_room_for() -> None:
    with recording(shop(250)) as (client, made):
        look = SubscriptionFinder(client, Share(left=2)).find(wanted(*range(250)))
    assert (len(made), len(look.found), look.why_not) == (2, 200, "its subscription is not looked up yet")


def test_the_rate_limit_pauses_all_workers() -> None:
    share = Share()
    with recording(shop(2)) as (client, made):
        made.answers[LIST] = httpx.Response(429, headers={"retry-after": "60"})
        look = SubscriptionFinder(client, share).find(wanted(0, 1))
    assert (look.found, share.paused) == ({}, [60])
    assert look.why_not == "its subscription cannot be looked up: Polar answered 429"
    with pytest.raises(PolarRateLimitedError), client_of(Polar(requests_per_minute=0)) as client:
        client.subscription(some_id(1))


@pytest.mark.parametrize(("status", "seconds"), [(503, 10), (401, 60), (403, 60)])
def test_after_an_error_polar_is_left_alone_for_a_while(status: int, seconds: float) -> None:
    moment = 0.0
    with recording(shop(2)) as (client, made):
        made.answers[LIST] = httpx.Response(status)
        finder = SubscriptionFinder(client, Share(), lambda: moment)
        look = finder.find(wanted(0, 1))
        assert look.why_not.startswith(f"its subscription cannot be looked up: Polar answered {status}")
        assert ("subscriptions:read" in look.why_not) is (status == 403)
        again = finder.find(wanted(0, 1))
        assert (again.why_not, again.after_seconds, len(made)) == (look.why_not, seconds, 1)
        moment, made.answers = seconds, {}
        assert finder.find(wanted(0, 1)).why_not == ""


def test_a_lease_has_time_left_to_send_its_grants() -> None:
    moments = iter([0.0, 1.0, 9.0, 9.0])
    with recording(shop(150)) as (client, made):
        look = SubscriptionFinder(client, Share(), lambda: next(moments)).find(wanted(*range(150)))
    assert (len(made), len(look.found)) == (1, 100)
    assert look.why_not == "its subscription is not looked up yet"
