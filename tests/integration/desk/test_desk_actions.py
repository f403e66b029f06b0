"""What can be done at the desk: each action is previewed, confirmed, noted, and done by the workers."""

import re
import shlex

import pytest
from redis import Redis

from app.desk.pages import replay as replay_page
from app.desk.sessions import Seals, Session
from tests.support.builders import order_webhook, some_id
from tests.support.commands import parse_command
from tests.support.desk import DESK_TOKEN, Browser, DeskService
from tests.support.desk_workers import NEWCOMER, Worker, actions, confirm
from tests.support.paths import ROOT
from tests.support.real_stores import accept
from workers.core.delivery import Delivery, Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.desk import DeskStore
from workers.store.format import FORMAT


@pytest.fixture
def worker(redis: Redis, service: DeskService) -> Worker:
    return Worker(redis, service)


def fail(worker: Worker, url: str, number: int = 1, **data: str) -> str:
    """Let the delivery of an order fail; return its id."""
    body = order_webhook(id=some_id(number), customer_id=NEWCOMER, **data)
    accept(url, f"msg-{number}", body=body)
    worker.work()
    return f"msg-{number}"


def one(redis: Redis, id_: str) -> Delivery:
    (found,) = DeliveryStore(redis).get([id_])
    return found


def test_a_replay_is_previewed_confirmed_noted_and_done_by_a_worker(
    desk: Browser, redis: Redis, redis_url: str, worker: Worker
) -> None:
    id_ = fail(worker, redis_url)
    desk.get(f"replay?id={id_}")
    assert "In all: 1 grant, 10 api_usage" in desk.text
    assert "credits replay msg-1" in desk.text
    assert one(redis, id_).status is Status.FAILED
    assert actions(redis) == []
    worker.strangers.clear()
    confirm(desk, "replay")
    assert (desk.url, one(redis, id_).status) == (f"delivery?id={id_}", Status.WAITING)
    assert actions(redis) == [("Ada", f"replay {id_}")]
    worker.work()
    assert one(redis, id_).status is Status.GRANTED
    assert worker.polar.balance(NEWCOMER) == 10


def test_a_confirmation_that_is_sent_twice_credits_once(
    desk: Browser, redis: Redis, redis_url: str, worker: Worker
) -> None:
    id_ = fail(worker, redis_url)
    worker.strangers.clear()
    desk.get(f"replay?id={id_}")
    plan, token = desk.hidden("plan"), desk.form_token
    for _ in range(2):
        desk.post("replay", {"plan": plan, "form_token": token})
        worker.work()
    assert worker.polar.balance(NEWCOMER) == 10
    assert len(actions(redis)) == 2


def test_all_that_are_filtered_are_replayed_and_no_others(
    desk: Browser, redis: Redis, redis_url: str, worker: Worker
) -> None:
    for number in (1, 2, 3):
        fail(worker, redis_url, number)
    desk.get("deliveries?status=failed&type=order.paid")
    link = re.search(r'href="(replay\?[^"]+)"', desk.page)
    assert link
    desk.get(link[1].replace("&amp;", "&"))
    assert "Replay 3 deliveries" in desk.text
    assert "In all: 3 grants, 30 api_usage" in desk.text
    late = fail(worker, redis_url, 4)
    worker.strangers.clear()
    confirm(desk, "replay")
    assert (desk.url, "Ada" in desk.text, "replay 3 deliveries" in desk.text) == ("actions", True, True)
    worker.work()
    assert worker.polar.balance(NEWCOMER) == 30
    assert one(redis, late).status is Status.FAILED


def test_more_than_can_be_previewed_at_once_come_with_the_command(
    desk: Browser, redis: Redis, redis_url: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_page, "MOST_AT_ONCE", 2)
    for number in (1, 2, 3):
        fail(worker, redis_url, number)
    desk.get("replay?status=failed&since=2026-01-01T00:00")
    assert "Replay 2 deliveries" in desk.text
    assert "credits replay --failed --since 2026-01-01T00:00:00Z" in desk.text
    assert "There are more." in desk.text


@pytest.mark.parametrize(
    "query", ["", "status=granted", "status=waiting", f"status=failed&order={some_id(1)}"]
)
def test_only_what_failed_or_was_skipped_is_replayed_at_once(desk: Browser, query: str) -> None:
    desk.get(f"replay?{query}")
    assert (desk.status, "Choose failed or skipped" in desk.text) == (400, True)


def test_a_dismissal_puts_a_failure_to_rest_and_a_replay_by_itself_revives_it(
    desk: Browser, redis: Redis, redis_url: str, worker: Worker
) -> None:
    id_ = fail(worker, redis_url)
    desk.get(f"dismiss?id={id_}")
    assert "Customer does not exist" in desk.text
    assert one(redis, id_).status is Status.FAILED
    confirm(desk, "dismiss")
    assert (one(redis, id_).status, one(redis, id_).is_dismissed) == (Status.SKIPPED, True)
    assert actions(redis) == [("Ada", f"dismiss {id_}")]
    desk.get("replay?status=skipped")
    assert "Nothing to replay" in desk.text
    worker.strangers.clear()
    desk.get(f"replay?id={id_}")
    confirm(desk, "replay")
    worker.work()
    assert one(redis, id_).status is Status.GRANTED


def test_what_did_not_fail_cannot_be_dismissed(
    desk: Browser, redis: Redis, redis_url: str, worker: Worker
) -> None:
    accept(redis_url, "msg-1", body=order_webhook(id=some_id(1)))
    worker.work()
    desk.get("dismiss?id=msg-1")
    assert (desk.status, "This one is granted" in desk.text) == (409, True)


def test_a_plan_counts_only_as_it_was_previewed_by_this_session(
    desk: Browser, redis: Redis, redis_url: str, worker: Worker
) -> None:
    id_ = fail(worker, redis_url)
    foreign = Seals(DESK_TOKEN).write(Session(id="another", name="Eve"), {"replay": [id_], "by_name": True})
    desk.get(f"replay?id={id_}")
    good = desk.hidden("plan")
    for plan in ("", "x", foreign, good[:-1], good[5:]):
        desk.get(f"replay?id={id_}")
        desk.post("replay", {"plan": plan})
        assert (desk.status, "nothing was done" in desk.text) == (400, True)
    for page in ("dismiss", "grant"):
        desk.get(f"replay?id={id_}")
        desk.post(page, {"plan": good})
        assert (desk.status, "This is no preview" in desk.text) == (400, True)
    assert actions(redis) == []
    assert one(redis, id_).status is Status.FAILED


def test_nothing_is_done_on_data_that_a_newer_version_has_written(
    desk: Browser, redis: Redis, redis_url: str, worker: Worker
) -> None:
    id_ = fail(worker, redis_url)
    desk.get(f"replay?id={id_}")
    redis.set(keys.FORMAT, FORMAT + 1)
    confirm(desk, "replay")
    assert (desk.status, "Nothing was done" in desk.text) == (503, True)
    assert one(redis, id_).status is Status.FAILED


def test_the_newest_thousand_actions_are_kept(redis: Redis) -> None:
    store = DeskStore(redis)
    for number in range(1003):
        store.note_action(name="Ada", session="s", what=f"replay {number}")
    kept = store.actions(2000)
    assert (len(kept), kept[0].what, kept[-1].what) == (1000, "replay 1002", "replay 3")


def test_every_command_that_the_desk_shows_can_be_run() -> None:
    templates = "".join(one.read_text() for one in (ROOT / "app/desk/templates").iterdir())
    overview = (ROOT / "app/desk/pages/overview.py").read_text()
    shown = re.findall(r'ui\.command\("([^"]+)"', templates) + re.findall(r'"(credits [^"]+)"', overview)
    assert len(shown) > 10
    for line in shown:
        parse_command(shlex.split(line.replace("ORDER", some_id(1)).replace("ID", some_id(1))))
