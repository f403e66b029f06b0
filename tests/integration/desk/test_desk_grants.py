"""A grant by hand at the desk: previewed, confirmed, noted, and done by a worker."""

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER
from tests.support.desk import Browser, DeskService
from tests.support.desk_workers import Worker, actions, confirm
from tests.support.polar_standin import CUSTOMER as KNOWN


@pytest.fixture
def worker(redis: Redis, service: DeskService) -> Worker:
    return Worker(redis, service)


GRANT = {
    "kind": "customer_id",
    "customer": CUSTOMER,
    "meter": "api_usage",
    "units": "500",
    "key": "beta-2026",
}


def test_a_grant_by_hand_is_previewed_confirmed_noted_and_done_by_a_worker(
    desk: Browser, redis: Redis, worker: Worker
) -> None:
    desk.get("grant")
    desk.post("grant", GRANT | {"reason": "a <b>beta</b> tester"})
    assert "This would: grant 500 api_usage" in desk.text
    assert "a &lt;b&gt;beta&lt;/b&gt; tester" in desk.page
    assert actions(redis) == []
    confirm(desk, "grant")
    assert desk.url.startswith("delivery?id=manual-beta-2026")
    assert actions(redis) == [("Ada", f"grant 500 api_usage to customer {CUSTOMER}, key beta-2026")]
    worker.work()
    assert worker.polar.balance(CUSTOMER) == 500
    desk.get(desk.url)
    assert "Granted for a beta tester" in desk.text.replace("<b>", "").replace("</b>", "")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("external_customer_id", "user_42"), ("email", "ADA@example.com"), ("customer_id", KNOWN)],
)
def test_a_customer_can_be_named_in_three_ways(
    desk: Browser, service: DeskService, worker: Worker, kind: str, name: str
) -> None:
    customer = service.polar.customers[KNOWN]
    service.polar.customers[KNOWN] = customer.model_copy(update={"email": "ada@example.com"})
    desk.get("grant")
    desk.post("grant", GRANT | {"kind": kind, "customer": name})
    assert KNOWN in desk.text
    confirm(desk, "grant")
    worker.work()
    assert worker.polar.balance(KNOWN) == 500


def test_the_same_key_again_gives_nothing_and_another_amount_is_refused(
    desk: Browser, worker: Worker
) -> None:
    for _ in range(2):
        desk.get("grant")
        desk.post("grant", GRANT)
        if desk.hidden("plan"):
            confirm(desk, "grant")
        worker.work()
    assert worker.polar.balance(CUSTOMER) == 500
    desk.get("grant")
    desk.post("grant", GRANT | {"units": "600"})
    assert (desk.status, "use another key for another amount" in desk.text) == (409, True)
    desk.get("grant")
    desk.post("grant", GRANT)
    assert "Nothing to do" in desk.text


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("units", "-5", "expected more than 0"),
        ("units", "1,000", "write plain digits"),
        ("meter", "api_usge", "did you mean"),
        ("key", "two words", "expected 1 to 64"),
        ("customer", "ada", "is not a customer id"),
        ("kind", "name", "choose how"),
        ("customer", "", "name the customer"),
        ("reason", "x" * 600, "longer than"),
    ],
)
def test_each_problem_of_the_form_is_named_and_what_was_typed_stays(
    desk: Browser, field: str, value: str, problem: str
) -> None:
    desk.get("grant")
    desk.post("grant", GRANT | {field: value})
    assert (desk.status, problem in desk.text, desk.hidden("plan")) == (400, True, "")
    assert 'value="beta-2026"' in desk.page or field == "key"


def test_a_customer_whom_polar_does_not_know_is_named(desk: Browser) -> None:
    desk.get("grant")
    desk.post("grant", GRANT | {"kind": "email", "customer": "nobody@example.com"})
    assert (desk.status, "Polar has no customer with the email" in desk.text) == (404, True)
