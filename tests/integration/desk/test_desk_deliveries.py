"""The overview, the list of deliveries, and the page of one."""

import json
import re
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.support.builders import CUSTOMER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.desk import Browser, DeskService
from tests.support.fake_polar import FakePolar
from tests.support.real_stores import RETAIN, accept
from workers.core.delivery import Status
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

BY_RULES = rules_of(rule("starter-pack", {"api_usage": 10}, on_refund="revoke"))


def work(redis: Redis) -> None:
    """Settle what is due, at a Polar that does not know one customer."""
    polar = FakePolar(known=lambda customer: customer != some_id(9))
    Granter(
        deliveries=DeliveryStore(redis),
        ledger=Ledger(redis, retain=RETAIN),
        throttle=Throttle(redis),
        polar=polar,
        rules=lambda: BY_RULES,
    ).drain()


def sell(redis: Redis, url: str, number: int, **data: str) -> str:
    """Settle an order; return the id of its delivery."""
    accept(url, f"msg-{number}", body=order_webhook(id=some_id(number), **data))
    work(redis)
    return f"msg-{number}"


def listed(desk: Browser) -> list[str]:
    """Return the ids of the deliveries that the page lists."""
    return re.findall(r'href="delivery\?id=([^"]+)"', desk.page)


def plant(redis: Redis, count: int, *, at_ms: int = 1_764_000_000_000, **fields: str) -> None:
    """Store settled deliveries, ten in each millisecond."""
    pipeline = redis.pipeline()
    usual: dict[Any, Any] = {
        "type": "order.paid",
        "status": "granted",
        "reason": "10 api_usage",
        "attempts": "1",
    }
    for number in range(count):
        at = at_ms + number // 10
        pipeline.hset(keys.delivery(f"old-{number:05}"), mapping=usual | {"received_at": at, **fields})
        pipeline.zadd(keys.deliveries(fields.get("status", "granted")), {f"old-{number:05}": at})
    pipeline.execute()


def test_the_overview_names_the_next_step_of_what_fails(desk: Browser, redis: Redis, redis_url: str) -> None:
    sell(redis, redis_url, 1, customer_id=some_id(9))
    desk.get("overview")
    assert "3 checks not well" in desk.text  # no worker, no rules, one failure
    assert "Workers not ok 0 alive" in desk.text
    assert "Next: credits work" in desk.text
    assert 'href="deliveries?status=failed"' in desk.page
    assert "Redis ok accepts writes and keeps them" in desk.text


def test_the_charts_say_in_words_and_in_a_table_what_they_show(
    desk: Browser, redis: Redis, redis_url: str
) -> None:
    sell(redis, redis_url, 1)
    accept(redis_url, "refund", body=refund_webhook(1000, id=some_id(1)))
    work(redis)
    desk.get("overview")
    assert "api_usage 10 granted, 10 taken back" in desk.text
    assert "2 granted, 0 skipped, 0 failed" in desk.text
    assert desk.page.count("<figure") == 4
    assert re.search(
        r'<tr><th scope="row">[^<]+</th><td class="number">10</td><td class="number">10</td></tr>', desk.page
    )


def test_the_list_has_the_newest_first_with_the_reason(desk: Browser, redis: Redis, redis_url: str) -> None:
    sell(redis, redis_url, 1)
    sell(redis, redis_url, 2, customer_id=some_id(9))
    desk.get("deliveries")
    assert listed(desk) == ["msg-2", "msg-1"]
    assert "Customer does not exist" in desk.text
    assert "10 api_usage" in desk.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=failed", ["msg-2"]),
        ("status=granted&type=order.paid", ["msg-1"]),
        ("type=order.refunded", ["msg-3"]),
        ("type=credits.offer", []),
        (f"order={some_id(1)}", ["msg-3", "msg-1"]),
        (f"order={some_id(1)}&type=order.paid", ["msg-1"]),
        (f"customer={some_id(9)}", ["msg-2"]),
        ("since=2020-01-01T00:00&until=2020-01-02T00:00", []),
        ("since=2020-01-01T00:00", ["msg-3", "msg-2", "msg-1"]),
    ],
)
def test_the_list_can_be_filtered(
    desk: Browser, redis: Redis, redis_url: str, query: str, found: list[str]
) -> None:
    sell(redis, redis_url, 1)
    sell(redis, redis_url, 2, customer_id=some_id(9))
    accept(redis_url, "msg-3", body=refund_webhook(1000, id=some_id(1)))
    work(redis)
    desk.get(f"deliveries?{query}")
    assert (desk.status, listed(desk)) == (200, found)


def test_a_filter_that_cannot_be_used_says_why(desk: Browser) -> None:
    desk.get("deliveries?order=seven")
    assert (desk.status, "is not an order's id" in desk.text) == (400, True)


def turn_pages(desk: Browser, query: str = "") -> list[str]:
    """Return all ids that the pages list, from the newest to the last."""
    found, page = [], f"deliveries?{query}"
    while page:
        desk.get(page)
        found += listed(desk)
        older = re.search(r'rel="next" href="([^"]+)"', desk.page)
        page = older[1].replace("&amp;", "&") if older else ""
    return found


def test_paging_shows_each_delivery_once_also_those_of_one_moment(desk: Browser, redis: Redis) -> None:
    plant(redis, 137)
    assert turn_pages(desk) == [f"old-{number:05}" for number in range(136, -1, -1)]


def test_paging_goes_on_while_new_ones_arrive(desk: Browser, redis: Redis, redis_url: str) -> None:
    plant(redis, 80)
    desk.get("deliveries")
    older = re.search(r'rel="next" href="([^"]+)"', desk.page)
    assert older
    for number in range(60):
        redis.zadd(keys.deliveries(Status.GRANTED), {f"new-{number}": 1_999_000_000_000})
    desk.get(older[1].replace("&amp;", "&"))
    assert listed(desk) == [f"old-{number:05}" for number in range(29, -1, -1)]


def test_a_rare_type_is_found_by_searching_on(desk: Browser, redis: Redis) -> None:
    plant(redis, 1200)
    redis.hset(keys.delivery("old-00007"), "type", "order.refunded")
    desk.get("deliveries?type=order.refunded")
    assert (listed(desk), "None among those that were read" in desk.text) == ([], True)
    assert turn_pages(desk, "type=order.refunded") == ["old-00007"]


def test_a_delivery_shows_its_life_its_rules_and_its_grants(
    desk: Browser, redis: Redis, redis_url: str
) -> None:
    desk.get(f"delivery?id={sell(redis, redis_url, 1)}")
    life = re.findall(
        r"<b>([^<]+)</b>", desk.page.partition('<ol class="timeline">')[2].partition("</ol>")[0]
    )
    assert life == ["received", "leased", "claimed", "sent and confirmed by Polar", "granted"]
    assert "starter-pack yes grants 10 api_usage" in desk.text
    assert "yearly-only no not triggered by purchase" in desk.text
    assert "If it ran now: nothing: 10 api_usage already granted" in desk.text
    assert f"credits:order:{some_id(1)}:api_usage" in desk.text


def test_a_delivery_that_failed_offers_what_can_be_done(desk: Browser, redis: Redis, redis_url: str) -> None:
    desk.get(f"delivery?id={sell(redis, redis_url, 2, customer_id=some_id(9))}")
    assert 'href="replay?id=msg-2"' in desk.page
    assert 'href="dismiss?id=msg-2"' in desk.page


def test_a_delivery_that_waits_says_when_it_is_due(desk: Browser, redis: Redis, redis_url: str) -> None:
    accept(redis_url, "msg-1")
    desk.get("delivery?id=msg-1")
    assert "due no worker has had it yet" in desk.text


def test_the_body_is_shown_only_when_asked_for_and_the_log_notes_it(
    desk: Browser, redis: Redis, redis_url: str
) -> None:
    sell(redis, redis_url, 1)
    desk.get("delivery?id=msg-1")
    assert "net_amount" not in desk.page
    with capture_logs() as logged:
        desk.post("delivery", {"id": "msg-1"})
    assert "&#34;net_amount&#34;: 1000" in desk.page
    email = json.loads(order_webhook())["data"]["customer"]["email"]
    assert email not in desk.page
    assert [(one["delivery"], one["operator"]) for one in logged if "body" in one["event"]] == [
        ("msg-1", "Ada")
    ]


def test_a_broken_rules_file_leaves_the_pages_readable(
    desk: Browser, service: DeskService, redis: Redis, redis_url: str
) -> None:
    sell(redis, redis_url, 1)
    usable = service.rules_path.read_text()
    desk.get("delivery?id=msg-1")
    service.rules_path.write_text(usable + "rules: twice\n")
    try:
        desk.get("delivery?id=msg-1")
        assert "the rules of its last usable version" in desk.text
        assert "starter-pack yes" in desk.text
    finally:
        service.rules_path.write_text(usable)


@pytest.mark.parametrize(
    "query", ["", "?id=", "?id=nothing", "?id=../../etc", "?id=%00", f"?id={'x' * 5000}"]
)
def test_a_delivery_that_is_not_kept_is_not_found(desk: Browser, query: str) -> None:
    desk.get(f"delivery{query}")
    assert (desk.status, "No such delivery is kept" in desk.text) == (404, True)


def test_an_order_and_a_customer_lead_to_their_deliveries(
    desk: Browser, redis: Redis, redis_url: str
) -> None:
    sell(redis, redis_url, 1)
    desk.get("delivery?id=msg-1")
    assert f'href="deliveries?order={some_id(1)}"' in desk.page
    assert f'href="customer?id={CUSTOMER}"' in desk.page
