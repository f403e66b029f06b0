"""A customer's page and the page of the rules."""

import re
from html import unescape

import pytest
from redis import Redis

from app.desk.sessions import Seals, Session
from config.rules import Rules, load_rules
from tests.support.builders import order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.desk import DESK_TOKEN, RULES, Browser, DeskService, desk_at
from tests.support.fake_polar import FakePolar
from tests.support.polar_standin import CUSTOMER, event, ingest
from tests.support.real_stores import RETAIN, accept
from tests.support.recordings import payload
from workers.core.delivery import Status
from workers.core.payloads import read_order
from workers.operations import history
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

STRANGER = some_id(9)
YEARLY = "order_paid_subscription_create_yearly"


def settle(redis: Redis, service: DeskService, url: str, id_: str, body: bytes) -> None:
    """Accept a webhook, and settle it."""
    accept(url, id_, body=body)
    drain(redis, load_rules(service.rules_path))


def drain(redis: Redis, rules: Rules) -> None:
    """Settle what is due."""
    Granter(
        deliveries=DeliveryStore(redis),
        ledger=Ledger(redis, retain=RETAIN),
        throttle=Throttle(redis),
        polar=FakePolar(known=lambda customer: customer != STRANGER),
        rules=lambda: rules,
    ).drain()


@pytest.fixture
def bought(redis: Redis, service: DeskService, redis_url: str) -> str:
    """Let the customer buy something; return the id of the order."""
    settle(redis, service, redis_url, "msg-1", order_webhook(id=some_id(1), customer_id=CUSTOMER))
    return some_id(1)


@pytest.mark.parametrize(
    "who", ["ada@example.com", "ADA@Example.com", "user_42", CUSTOMER, some_id(1), "msg-1"]
)
def test_a_customer_is_found_by_whatever_the_operator_has(
    desk: Browser, service: DeskService, bought: str, who: str
) -> None:
    customer = service.polar.customers[CUSTOMER]
    service.polar.customers[CUSTOMER] = customer.model_copy(update={"email": "ada@example.com"})
    desk.get("customers")
    desk.post("customers", {"who": who})
    assert (desk.status, desk.url) == (200, f"customer?id={CUSTOMER}")


@pytest.mark.parametrize(
    ("who", "problem"),
    [
        ("nobody@example.com", "Polar has no customer"),
        ("user_43", "Polar has no customer"),
        ("", "Write an"),
        ("x" * 300, "Write an"),
    ],
)
def test_who_is_not_found_is_named(desk: Browser, who: str, problem: str) -> None:
    desk.get("customers")
    desk.post("customers", {"who": who})
    assert problem in desk.text
    assert desk.status in {400, 404}


def test_a_customers_page_has_the_instalments_to_come(
    desk: Browser, redis: Redis, service: DeskService, redis_url: str
) -> None:
    body = payload(YEARLY)
    accept(redis_url, "msg-yearly", body=body)
    drain(redis, rules_of(rule("pro", {"api_usage": 1000}, triggers=["subscription_create"], every="month")))
    desk.get(f"customer?id={read_order(body).view.customer_id}")  # a year from 28 November 2026 on
    assert "Instalments to come" in desk.text
    assert desk.page.count("<b>1,000</b> api_usage") == 11
    assert "The next 1,000 api_usage follow on 28 December 2026." in desk.text


def test_a_customers_page_answers_where_their_credits_are(
    desk: Browser, redis: Redis, service: DeskService, redis_url: str, bought: str
) -> None:
    ingest(service.polar, event(metadata={"units": -42}))
    refund = refund_webhook(10**6, id=bought, customer_id=CUSTOMER, status="refunded")
    settle(redis, service, redis_url, "msg-2", refund)
    desk.get(f"customer?id={CUSTOMER}")
    row = re.search(r'<th scope="row">api_usage</th>.*?</tr>', desk.page, re.DOTALL)
    assert row
    assert re.findall(r">(\d+)<", row[0])[0].isdigit()
    assert "took back 10 api_usage" in desk.text
    assert "your id user_42" in desk.text
    reply = desk.page.partition("<textarea")[2].partition("</textarea>")[0]
    assert "10 api_usage added for" in reply
    assert "10 api_usage taken back after a refund" in reply
    assert "Your balance is now" in reply


def test_a_failed_delivery_stands_out_and_the_reply_says_that_it_is_looked_into(
    desk: Browser, redis: Redis, service: DeskService, redis_url: str
) -> None:
    settle(redis, service, redis_url, "msg-9", order_webhook(id=some_id(3), customer_id=STRANGER))
    desk.get(f"customer?id={STRANGER}")
    assert "1 delivery about this customer failed" in desk.text
    assert "Polar has no such customer" in desk.text
    assert "could not be added yet" in desk.text


def test_the_page_is_there_while_polar_is_away(
    desk: Browser, service: DeskService, redis: Redis, bought: str
) -> None:
    redis.set(keys.PAUSE, "Polar is away", ex=600)
    desk.get(f"customer?id={CUSTOMER}")
    assert "Polar cannot be asked now" in desk.text
    assert "10 api_usage" in desk.text
    desk.get("customers")
    desk.post("customers", {"who": "ada@example.com"})
    assert (desk.status, "The ids of orders and deliveries are known here" in desk.text) == (503, True)


def test_what_the_ledger_has_of_an_expired_delivery_is_shown(
    desk: Browser, redis: Redis, bought: str
) -> None:
    redis.delete(keys.delivery("msg-1"), keys.body("msg-1"))
    redis.zrem(keys.deliveries(Status.GRANTED), "msg-1")
    desk.get(f"customer?id={CUSTOMER}")
    assert "10 api_usage; its delivery is no longer kept" in desk.text


def test_of_a_customer_about_whom_nothing_is_stored_the_next_command_is_named(desk: Browser) -> None:
    desk.get(f"customer?id={some_id(77)}")
    assert "credits recover --since 7d --dry-run" in desk.text
    assert "We have not added any credits yet" in desk.text


@pytest.mark.parametrize("id_", ["", "7", "x" * 5000, "%00", "<script>"])
def test_what_is_no_id_is_not_found(desk: Browser, id_: str) -> None:
    desk.get(f"customer?id={id_}")
    assert desk.status == 404


def test_without_a_token_for_polar_the_pages_show_what_is_stored(
    redis: Redis, redis_url: str, service: DeskService, bought: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("without")
    with desk_at(redis_url, folder, POLAR_ACCESS_TOKEN="") as alone, alone.operator() as desk:
        desk.get(f"customer?id={CUSTOMER}")
        assert "POLAR_ACCESS_TOKEN is not set" in desk.text
        assert "10 api_usage" in desk.text


def test_each_rule_shows_what_it_has_given(desk: Browser, bought: str) -> None:
    desk.get("rules")
    assert re.search(r"starter-pack rule 10 api_usage", desk.text)
    assert re.search(r"yearly-only rule nothing", desk.text)
    assert "no worker is alive" in desk.text


def test_the_problems_of_a_broken_file_stand_in_their_lines(desk: Browser, service: DeskService) -> None:
    desk.get("rules")
    service.rules_path.write_text(RULES.replace("api_usage: 10}", "api_usge: 10}"))
    try:
        desk.get("rules")
        broken = re.search(
            r'<li class="broken"><code>([^<]*)</code><span class="problem">([^<]*)<', desk.page
        )
        assert broken
        assert "api_usge: 10" in broken[1]
        assert "unknown meter" in broken[2]
        assert "its last usable version stays in force" in desk.text
        assert "starter-pack" in desk.text
    finally:
        service.rules_path.write_text(RULES)


def test_a_missing_file_is_a_problem_and_no_error(desk: Browser, service: DeskService) -> None:
    service.rules_path.rename(service.rules_path.with_suffix(".away"))
    try:
        desk.get("rules")
        assert (desk.status, "The file is broken" in desk.text) == (200, True)
    finally:
        service.rules_path.with_suffix(".away").rename(service.rules_path)


def test_rules_can_be_tried_on_a_sample_and_on_a_stored_delivery(desk: Browser, bought: str) -> None:
    desk.get("rules?sample=purchase")
    assert "purchase, as if nothing had been granted for it yet: grant 10 api_usage" in desk.text
    desk.get("rules?delivery=msg-1")
    assert "msg-1, as if nothing had been granted for it yet: grant 10 api_usage" in desk.text
    for query in ("sample=nothing", "delivery=nothing"):
        desk.get(f"rules?{query}")
        assert desk.status in {400, 404}


def test_a_customer_with_very_many_orders_comes_page_by_page(
    desk: Browser, redis: Redis, service: DeskService, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_MOST_FACTS", 2)
    for number in range(1, 6):
        body = order_webhook(id=some_id(number), customer_id=CUSTOMER)
        settle(redis, service, redis_url, f"msg-{number}", body)
    for number in range(6, 9):
        unknown = order_webhook(id=some_id(number), customer_id=CUSTOMER, billing_reason="unknown")
        settle(redis, service, redis_url, f"msg-{number}", unknown)
    desk.get(f"customer?id={CUSTOMER}")
    assert "has only the newest" in desk.text
    first = found_events(desk)
    assert len(first) == 4
    assert "msg-5" in first
    seen = list(first)
    while older := re.search(r'rel="next" href="([^"]+)"', desk.page):
        desk.get(unescape(older[1]))
        assert "Text for the reply" not in desk.text
        seen += found_events(desk)
    assert sorted(seen) == [f"msg-{number}" for number in range(1, 9)]
    desk.get(f"deliveries?customer={CUSTOMER}")
    listed = found_events(desk)
    while older := re.search(r'rel="next" href="([^"]+)"', desk.page):
        desk.get(unescape(older[1]))
        listed += found_events(desk)
    assert sorted(listed) == sorted(seen)


def found_events(desk: Browser) -> list[str]:
    """Return the ids of the deliveries to which the page links."""
    return re.findall(r'href="delivery\?id=([^"]+)"', desk.page)


def test_where_a_page_of_a_customer_begins_cannot_be_made_up(
    desk: Browser, redis: Redis, service: DeskService, redis_url: str, bought: str
) -> None:
    foreign = Seals(DESK_TOKEN).write(Session(id="another", name="Eve"), [CUSTOMER, keys.DUE, 0])
    for after in ("x", foreign, "credits:due"):
        desk.get(f"customer?id={CUSTOMER}&after={after}")
        assert (desk.status, "Text for the reply" in desk.text) == (200, True)
