"""Grants that Polar may have with other amounts are read back, on a real Redis and without sockets."""

from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.support.builders import ORDER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.ledgers import rebuild, refunding_operations_at
from tests.support.polar_orders import Operations
from tests.support.real_stores import claim_of
from workers.core.delivery import Lease, Status
from workers.core.grants import order_subject
from workers.store import keys, unconfirmed
from workers.store.clock import redis_now
from workers.store.unconfirmed import Doubts, UnconfirmedStore

KEY = f"credits:order:{ORDER}:api_usage"
SUBJECT = order_subject(ORDER)
MEMBER = f"{SUBJECT}\napi_usage"
THREE_HUNDRED = rules_of(rule("pack", {"api_usage": 300}, on_refund="revoke"))


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credits 100, revoked with a refund."""
    with refunding_operations_at(redis) as opened:
        yield opened


def claim_anew(operations: Operations) -> None:
    """Credit the order, lose the ledger, and claim the order again by rules that give more."""
    assert operations.deliver(order_webhook()) is Status.GRANTED
    operations.redis.flushall()
    operations.rules = THREE_HUNDRED
    assert operations.deliver(order_webhook()) is Status.GRANTED


def lose_answer(operations: Operations) -> None:
    """Credit the order by a worker that dies after Polar's answer, and by the next one."""
    operations.deliver_but_die_before_settling(order_webhook())
    assert operations.deliver(order_webhook()) is Status.GRANTED


def read_back(operations: Operations) -> list[MutableMapping[str, Any]]:
    """Read back what is due; return what was logged."""
    with capture_logs() as logs:
        operations.confirmer.run_if_due()
    return logs


def make_due(operations: Operations) -> None:
    operations.redis.zadd(keys.UNCONFIRMED, {MEMBER: 0}, xx=True)


def doubt(operations: Operations) -> dict[str, str]:
    return dict(claim_of(operations.ledger.find(SUBJECT)).unconfirmed)


def test_an_equal_event_ends_the_doubt_without_a_word(operations: Operations) -> None:
    lose_answer(operations)
    assert doubt(operations) == {"api_usage": ""}
    assert operations.redis.zrange(keys.UNCONFIRMED, 0, -1) == [MEMBER.encode()]
    assert read_back(operations) == []
    assert doubt(operations) == {}
    assert not operations.redis.exists(keys.UNCONFIRMED, keys.MISMATCHES, keys.CONFIRMING)


def test_a_refund_that_was_held_is_taken_in_the_same_step_that_confirms(operations: Operations) -> None:
    lose_answer(operations)
    assert operations.deliver(refund_webhook(300), "refund") is Status.SKIPPED
    assert operations.run_due() == []
    read_back(operations)
    assert operations.run_due() == [Status.GRANTED]
    assert operations.balance() == 70


def test_another_amount_is_told_once_and_nothing_is_taken_back(operations: Operations) -> None:
    claim_anew(operations)
    assert operations.deliver(refund_webhook(1000), "refund") is Status.SKIPPED
    (line,) = read_back(operations)
    assert (line["event"], line["log_level"]) == ("Polar has another amount", "error")
    assert (line["key"], line["ledger"], line["polar"]) == (KEY, "300", "100")
    assert "credits rebuild" in line["advice"]
    assert doubt(operations) == {"api_usage": "100"}
    assert [str(one) for one in Doubts(operations.redis).mismatches(10)] == [
        f"{KEY}: 300 in the ledger, 100 at Polar"
    ]
    make_due(operations)
    assert read_back(operations) == []
    assert (operations.run_due(), operations.balance()) == ([], 100)


def test_a_rebuild_over_the_living_ledger_ends_it_and_makes_the_refund_due(operations: Operations) -> None:
    """As a refund of all of it once left a balance of -200."""
    claim_anew(operations)
    operations.deliver(refund_webhook(1000), "refund")
    read_back(operations)
    assert rebuild(operations).corrected == 1
    assert doubt(operations) == {}
    assert not operations.redis.exists(keys.UNCONFIRMED, keys.MISMATCHES)
    assert operations.run_due() == [Status.GRANTED]
    assert operations.balance() == 0


def test_a_rebuild_confirms_what_is_equal_too(operations: Operations) -> None:
    lose_answer(operations)
    operations.deliver(refund_webhook(300), "refund")
    rebuild(operations)
    assert doubt(operations) == {}
    assert operations.run_due() == [Status.GRANTED]


def test_what_the_list_does_not_show_yet_is_read_again_later(operations: Operations) -> None:
    lose_answer(operations)
    hidden = operations.polar.stored.pop()
    assert read_back(operations) == []
    due = operations.redis.zscore(keys.UNCONFIRMED, MEMBER) or 0
    wait = due / 1000 - datetime.now(UTC).timestamp()
    assert 3 < wait <= 5
    operations.polar.stored.append(hidden)
    assert read_back(operations) == []
    assert doubt(operations) == {"api_usage": ""}
    make_due(operations)
    read_back(operations)
    assert doubt(operations) == {}


def test_what_polar_lacks_after_an_hour_is_told_and_still_read(operations: Operations) -> None:
    lose_answer(operations)
    hidden = operations.polar.stored.pop()
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    operations.redis.hset(SUBJECT, "settled:api_usage", int(an_hour_ago.timestamp() * 1000))
    (line,) = read_back(operations)
    assert (line["polar"], line["log_level"]) == ("nothing", "error")
    assert "read again every hour" in line["advice"]
    make_due(operations)
    assert read_back(operations) == []  # it was told
    operations.polar.stored.append(hidden)
    make_due(operations)
    read_back(operations)
    assert Doubts(operations.redis).count_mismatches() == 0
    assert doubt(operations) == {}


def test_an_amount_that_a_rebuild_corrects_meanwhile_is_left_to_the_rebuild(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_anew(operations)
    page = operations.client.page

    def slowly(*args: Any) -> Any:
        answer = page(*args)
        monkeypatch.undo()
        rebuild(operations)
        return answer

    monkeypatch.setattr(operations.client, "page", slowly)
    assert read_back(operations) == []
    assert doubt(operations) == {}
    assert Doubts(operations.redis).count_mismatches() == 0


def test_what_its_redis_has_lost_meanwhile_is_forgotten(operations: Operations) -> None:
    lose_answer(operations)
    operations.redis.delete(SUBJECT)
    assert read_back(operations) == []
    assert not operations.redis.exists(keys.UNCONFIRMED)


def test_one_process_reads_at_a_time(operations: Operations) -> None:
    lose_answer(operations)
    other = UnconfirmedStore(operations.redis, operations.ledger)
    assert other.begin(at_most=timedelta(minutes=1))
    read_back(operations)
    assert doubt(operations) == {"api_usage": ""}
    other.end()
    read_back(operations)
    assert doubt(operations) == {}


def test_while_polar_is_away_it_waits_and_says_so(operations: Operations) -> None:
    lose_answer(operations)
    operations.polar.scopes -= {"events:read", "events:write"}
    confirmer = operations.confirmer
    with capture_logs() as logs:
        confirmer.run_if_due()
        confirmer.run_if_due()
    assert [line["event"] for line in logs] == ["grants not confirmed yet"]
    assert "the scope events:read" in logs[0]["reason"]
    operations.polar.scopes |= {"events:read"}
    confirmer._retry_at = 0
    confirmer.run_if_due()
    assert doubt(operations) == {}


def test_a_batch_of_which_polar_had_one_is_confirmed_one_by_one(operations: Operations) -> None:
    lose_answer(operations)
    operations.redis.delete(SUBJECT)
    bodies = [order_webhook(id=some_id(number)) for number in range(1, 20)]
    rows = [(f"msg-{number}", "order.paid", body) for number, body in enumerate([*bodies, order_webhook()])]
    operations.granter.run(Lease(deliveries=operations.store.store_and_lease(rows)))
    assert operations.redis.zcard(keys.UNCONFIRMED) == 20
    assert read_back(operations) == []
    assert operations.redis.zcard(keys.UNCONFIRMED) == 0


def test_a_reading_that_is_due_in_a_day_is_due_now(operations: Operations) -> None:
    """The clock of Redis was a day ahead, and was set back."""
    lose_answer(operations)
    operations.redis.zincrby(keys.UNCONFIRMED, 24 * 3600 * 1000, MEMBER)
    read_back(operations)
    assert doubt(operations) == {}


def test_a_clock_of_redis_that_is_days_behind_polars_hides_no_event(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answer(operations)
    monkeypatch.setattr(unconfirmed, "redis_now", lambda redis: redis_now(redis) - timedelta(days=2))
    assert read_back(operations) == []
    assert doubt(operations) == {}
