"""``credits grant`` in real processes: for one customer by options, for many by a file."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from app.demo.polar.organization import Polar
from tests.support.builders import CUSTOMER, some_id
from tests.support.cli_session import Desk, assert_one_line_error, assert_usage_error
from tests.support.processes import TEN
from tests.support.real_stores import let_leases_end
from workers.core.manual import ManualGrant

pytestmark = pytest.mark.heavy  # starts a command for each test

FIVE = ("--meter", "api_usage", "--units", "5", "--key", "beta")
TO_CUSTOMER = ("--customer", CUSTOMER)
KEY = f"credits:manual:beta:{CUSTOMER}:api_usage"


def table(desk: Desk, *lines: str) -> str:
    """Write a file of grants; return its name."""
    (desk.credits.folder / "many.csv").write_text("\n".join(lines) + "\n")
    return "many.csv"


def ada(polar: Polar) -> str:
    """Add a customer to Polar with an id, an external id and an e-mail address; return the id."""
    return str(polar.add_customer(email="Ada@Example.com", external_id="user:1").id)


def test_a_customer_is_credited_before_any_purchase(desk: Desk) -> None:
    one = desk.credits.json("grant", *TO_CUSTOMER, *FIVE, "--reason", "beta tester")
    assert (one["key"], one["customer_id"], one["meter"], one["credits"]) == (KEY, CUSTOMER, "api_usage", 5)
    assert (one["status"], one["order_id"], one["rules"]) == ("granted", None, [])
    assert one["granted_at"] is not None
    (event,) = desk.polar.events
    assert event["external_id"] == KEY
    assert event["metadata"] == {
        "units": -5,
        "granted_by": "credit-granter",
        "key": KEY,
        "reason": "beta tester",
    }
    assert desk.polar.balance(CUSTOMER, "api_usage") == 5


@pytest.mark.parametrize(
    ("named", "in_key"),
    [
        (("--external-customer", "user:1"), "user%3A1"),
        (("--email", "ADA@example.com"), "ada@example.com"),
    ],
)
def test_a_customer_can_be_named_by_external_id_or_email(
    desk: Desk, named: tuple[str, str], in_key: str
) -> None:
    customer_id = ada(desk.polar)
    one = desk.credits.json("grant", *named, *FIVE)
    assert (one["customer_id"], one["key"]) == (customer_id, f"credits:manual:beta:{in_key}:api_usage")
    assert desk.polar.events[0]["customer_id"] == customer_id
    assert "external_customer_id" not in desk.polar.events[0]


def test_repeating_a_grant_does_nothing_and_succeeds(desk: Desk) -> None:
    desk.credits.json("grant", *TO_CUSTOMER, *FIVE)
    again = desk.credits.json("grant", *TO_CUSTOMER, *FIVE)
    assert (again["status"], again["already_granted"]) == ("granted", True)
    completed = desk.credits.run("grant", *TO_CUSTOMER, *FIVE)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert "nothing: 5 api_usage already granted" in completed.stdout
    assert "1 already granted" in completed.stdout
    assert len(desk.polar.events) == 1


def test_another_amount_with_the_same_key_is_refused(desk: Desk) -> None:
    desk.credits.json("grant", *TO_CUSTOMER, *FIVE)
    done = desk.credits.run("grant", *TO_CUSTOMER, "--meter", "api_usage", "--units", "6", "--key", "beta")
    assert_one_line_error(done, "key beta already granted 5 api_usage at 20", "another key")
    assert desk.polar.balance(CUSTOMER, "api_usage") == 5


def test_the_same_key_can_be_used_for_another_customer_or_meter(desk: Desk) -> None:
    desk.rules(TEN.replace("{api_usage: {}}", "{api_usage: {}, images: {property: count}}"))
    desk.polar.add_meter("images", "count")
    ada(desk.polar)
    for args in (TO_CUSTOMER, ("--email", "ada@example.com")):
        for meter in ("api_usage", "images"):
            desk.credits.json("grant", *args, "--meter", meter, "--units", "5", "--key", "beta")
    assert len(desk.polar.events) == 4
    assert desk.polar.balance(CUSTOMER, "images") == 5


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        (("--customer", some_id(7)), "customer_id"),
        (("--external-customer", "nobody"), "external_customer_id"),
        (("--email", "nobody@example.com"), "email"),
    ],
)
def test_a_customer_unknown_to_polar_is_refused(desk: Desk, named: tuple[str, str], kind: str) -> None:
    before = desk.memory()
    done = desk.credits.run("grant", *named, *FIVE)
    assert_one_line_error(done, f"Polar has no customer with the {kind} '{named[1]}'")
    assert desk.memory() == before
    assert desk.polar.events == []


def test_a_missing_customer_is_created_on_request(desk: Desk) -> None:
    named = ("--external-customer", "user-9", "--email", "grace@example.com", "--name", "Grace")
    one = desk.credits.json("grant", *named, "--create", *FIVE)
    created = desk.polar.customers[one["customer_id"]]
    assert (created.external_id, created.email, created.name) == ("user-9", "grace@example.com", "Grace")
    assert desk.polar.balance(one["customer_id"], "api_usage") == 5
    assert desk.credits.json("grant", *named, "--create", *FIVE)["already_granted"]
    assert len(desk.polar.customers) == 2


def test_polars_reason_for_not_creating_a_customer_is_shown(desk: Desk) -> None:
    ada(desk.polar)
    named = ("--external-customer", "user-9", "--email", "ada@example.com")
    done = desk.credits.run("grant", *named, "--create", *FIVE)
    assert done.returncode == 1
    assert "A customer with this email address already exists." in done.stderr
    assert desk.polar.events == []


def test_a_dry_run_shows_the_grant_and_changes_nothing(desk: Desk) -> None:
    before = desk.memory()
    args = ("--email", "grace@example.com", "--create", *FIVE, "--dry-run")
    completed = desk.credits.run("grant", *args)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert "create grace@example.com, grant 5 api_usage" in completed.stdout
    one = desk.credits.json("grant", *args)
    assert (one["status"], one["granted_at"], one["customer_id"]) == ("planned", None, None)
    assert desk.memory() == before
    assert len(desk.polar.customers) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((*FIVE,), "name the customer by one of --customer, --external-customer, --email"),
        ((*TO_CUSTOMER, "--email", "ada@example.com", *FIVE), "name the customer by one of"),
        (("--customer", "ada", *FIVE), "'ada' is not a customer id at Polar"),
        ((*TO_CUSTOMER, "--meter", "api_usge", "--units", "5", "--key", "k"), "did you mean 'api_usage'?"),
        ((*TO_CUSTOMER, "--meter", "api_usage", "--units", "-5", "--key", "k"), "expected more than 0"),
        ((*TO_CUSTOMER, "--meter", "api_usage", "--units", "5", "--key", "a b"), "expected 1 to 64 of"),
        ((*TO_CUSTOMER, "--meter", "api_usage"), "units are missing; key is missing"),
        (("--from", "many.csv", "--key", "beta"), "leave out key"),
    ],
)
def test_a_usage_error_names_the_options(desk: Desk, args: list[str], words: str) -> None:
    assert_usage_error(desk.credits.run("grant", *args), words)


def test_a_file_grants_to_many_customers(desk: Desk) -> None:
    ada(desk.polar)
    file = table(
        desk,
        "email,customer_id,meter,units,key,reason",
        f",{CUSTOMER},api_usage,5,beta,first",
        "ada@example.com,,api_usage,0.5,beta,",
    )
    rows = desk.credits.json("grant", "--from", file)
    assert [(row["credits"], row["status"]) for row in rows] == [(5, "granted"), (0.5, "granted")]
    assert desk.polar.balance(CUSTOMER, "api_usage") == 5
    completed = desk.credits.run("grant", "--from", file)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert [line.strip() for line in completed.stdout.splitlines()] == [
        "nothing to grant",
        "2 already granted",
    ]


def test_a_file_with_a_bad_line_grants_nothing_and_every_fault_is_named(desk: Desk) -> None:
    desk.credits.json("grant", *TO_CUSTOMER, *FIVE)
    before = desk.memory()
    file = table(
        desk,
        "email,customer_id,meter,units,key",
        f",{CUSTOMER},api_usage,5,new",
        "nobody@example.com,,api_usage,5,new",
        f",{CUSTOMER},api_usage,6,beta",
    )
    done = desk.credits.run("grant", "--from", file)
    assert (done.returncode, done.stdout) == (1, "")
    first, second, last = done.stderr.splitlines()
    assert first.startswith("credits: many.csv:3: Polar has no customer with the email")
    assert second.startswith("many.csv:4: key beta already granted 5 api_usage at")
    assert last == "nothing was granted"
    assert desk.memory() == before


def test_an_unreadable_file_is_a_one_line_error(desk: Desk) -> None:
    assert_one_line_error(desk.credits.run("grant", "--from", "none.csv"), "none.csv: No such file")


def test_a_large_file_needs_few_requests(desk: Desk) -> None:
    ids = [some_id(number) for number in range(1, 301)]
    for number, customer_id in enumerate(ids):
        desk.polar.add_customer(customer_id, external_id=f"user-{number}")
    desk.polar.requests_per_minute = 6  # at most four pages of customers, and two batches of events
    lines = [f"user-{number},api_usage,1,beta" for number in range(300)]
    rows = desk.credits.json("grant", "--from", table(desk, "external_customer_id,meter,units,key", *lines))
    assert {row["status"] for row in rows} == {"granted"}
    assert len(desk.polar.received) <= 2
    assert all(desk.polar.balance(one, "api_usage") == 1 for one in ids)


def leave_unfinished(desk: Desk) -> None:
    """Leave the state of a command that was killed before it sent anything to Polar."""
    request = ManualGrant(
        key="beta",
        customer=CUSTOMER,
        customer_id=CUSTOMER,
        meter="api_usage",
        property_name="units",
        units=Decimal(5),
        reason="beta tester",
    )
    with desk.credits.stores() as held:
        held.deliveries.store_and_lease([request.delivery()])


def test_a_worker_finishes_the_grants_of_a_killed_command(desk: Desk) -> None:
    leave_unfinished(desk)
    let_leases_end(desk.redis)
    assert desk.credits.run("work", "--burst").returncode == 0
    assert desk.polar.balance(CUSTOMER, "api_usage") == 5
    assert desk.polar.events[0]["metadata"]["reason"] == "beta tester"
    assert desk.credits.json("grant", *TO_CUSTOMER, *FIVE)["already_granted"]


def test_run_again_after_a_kill_the_command_finishes_its_grants(desk: Desk) -> None:
    leave_unfinished(desk)
    assert desk.credits.json("grant", *TO_CUSTOMER, *FIVE)["status"] == "granted"
    assert desk.polar.balance(CUSTOMER, "api_usage") == 5


def test_two_commands_at_once_make_one_grant(desk: Desk) -> None:
    with ThreadPoolExecutor() as both:
        running = [both.submit(desk.credits.run, "grant", *TO_CUSTOMER, *FIVE) for _ in range(2)]
    codes = [one.result().returncode for one in running]
    assert 0 in codes  # the other may find that its delivery was taken over
    assert desk.polar.balance(CUSTOMER, "api_usage") == 5
    assert desk.credits.json("grant", *TO_CUSTOMER, *FIVE)["already_granted"]


def test_a_grant_that_polar_refuses_is_reported_and_fails_the_command(desk: Desk) -> None:
    """A token that may only ingest cannot look up customers, so Polar itself must refuse."""
    desk.polar.scopes = frozenset({"events:write"})
    done = desk.credits.run("grant", "--customer", some_id(7), *FIVE)
    assert done.returncode == 1
    assert "refused by Polar: customer_id: Customer not found." in done.stdout
    assert desk.credits.json("grant", *TO_CUSTOMER, *FIVE)["status"] == "granted"


def test_a_manual_delivery_can_be_shown_explained_and_replayed(desk: Desk) -> None:
    one = desk.credits.json("grant", *TO_CUSTOMER, *FIVE, "--reason", "why not")
    assert one["delivery"] == f"manual-beta:{CUSTOMER}:api_usage"
    shown = desk.credits.json("show", one["delivery"])
    assert (shown["type"], shown["status"], shown["customer_id"]) == ("manual.grant", "granted", CUSTOMER)
    assert json.loads(shown["body"])["data"]["reason"] == "why not"
    lines = [" ".join(line.split()) for line in desk.credits.run("show", one["delivery"]).stdout.splitlines()]
    assert {"reason 5 api_usage", "granted for why not"} <= set(lines)
    assert any("5 api_usage by hand" in line for line in lines)
    explained = desk.credits.json("explain", one["delivery"])
    assert explained["outlook"] == "nothing: 5 api_usage already granted"
    (replayed,) = desk.credits.json("replay", one["delivery"], "--yes")
    assert (replayed["status"], replayed["reason"]) == ("granted", "5 api_usage")
    assert len(desk.polar.events) == 1
