"""What Polar lists may be forged, cut off, or of rules that are gone: a rebuild takes no harm by it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.ledgers import come, look, rebuild, rebuilding_at, restorer_of, run, standing_of
from tests.support.polar_orders import Mending
from tests.support.polar_standin import event, ingest
from workers.core.grants import LONGEST_TEXT, RULE_SEPARATOR
from workers.core.manual import ManualRevoke
from workers.operations.rebuild.run import Restorer

PAID = order_webhook()
PACK = rule("pack", {"api_usage": 100}, triggers=["purchase"], on_refund="revoke")
GIFT = rule("gift", {"api_usage": 7}, triggers=["purchase"])
REVOKED = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()


@pytest.fixture
def mending(redis: Redis) -> Iterator[Mending]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with rebuilding_at(redis) as opened:
        yield opened


def forge(mending: Mending, key: str, units: float, rules: str = "pack") -> None:
    """Let somebody send an event that says it is ours, of the usual order."""
    said = {"granted_by": "credit-granter", "key": f"credits:{key}:api_usage", "order_id": ORDER}
    sent = event(customer_id=CUSTOMER, metadata={"units": units, "rules": rules, **said})
    assert ingest(mending.polar, sent).status_code == 200


def test_a_number_that_no_rule_gives_keeps_nobody_from_rebuilding(mending: Mending, redis: Redis) -> None:
    mending.rules = rules_of(PACK, GIFT)
    come(mending, PAID)
    forge(mending, f"revoke:{ORDER}", 10**26, "pack,gift")
    redis.flushall()
    assert [one.why for one in look(mending).odd] == ["it has no number of credits"]
    assert rebuild(mending).grants == 1


def test_a_forged_refund_of_next_to_nothing_keeps_no_later_one_from_taking(
    mending: Mending, redis: Redis
) -> None:
    come(mending, PAID)
    forge(mending, f"refund:{ORDER}:999999999", 0.5)
    redis.flushall()
    rebuild(mending)
    come(mending, refund_webhook(1000))
    assert mending.balance() == 0


def test_an_event_that_copies_what_stands_beside_another_is_not_taken_for_that(mending: Mending) -> None:
    """Somebody mends a mistake by another event."""
    come(mending, PAID)
    forge(mending, f"order:{ORDER}", -5)
    found = look(mending)
    assert (found.standing, found.differing) == (1, [])
    assert [one.why for one in found.odd] == ["another event has its key"]


def test_where_rule_names_were_cut_off_no_refund_takes_by_those_that_are_left(
    mending: Mending, redis: Redis
) -> None:
    """The cut may fall between two names, and one that was left out may keep its credits."""
    names = [letter * 62 for letter in "abcdefg"] + ["h" * 59]
    assert len(RULE_SEPARATOR.join(names)) == LONGEST_TEXT
    revoking = [rule(one, {"api_usage": 1}, triggers=["purchase"], on_refund="revoke") for one in names]
    mending.rules = rules_of(*revoking, rule("kept", {"api_usage": 1000}, triggers=["purchase"]))
    come(mending, PAID)
    redis.flushall()
    rebuild(mending)
    come(mending, refund_webhook(1000))
    assert mending.balance() == 1000 + len(names)


@pytest.mark.parametrize("is_by_hand", [False, True])
def test_a_rule_that_was_renamed_gave_what_was_taken_all_the_same(
    mending: Mending, redis: Redis, *, is_manual_grant: bool
) -> None:
    mending.rules = rules_of(PACK, GIFT)
    come(mending, PAID, refund_webhook(500))
    if is_manual_grant:
        run(mending, [REVOKED])
    redis.flushall()
    mending.rules = rules_of(GIFT, PACK.replace('"pack"', '"starter"'))
    come(mending, PAID)
    rebuild(mending)
    come(mending, refund_webhook(1000))
    assert mending.balance() == (0 if is_manual_grant else 7)


def test_an_event_that_changes_places_while_pages_are_read_is_known_to_be_hidden(
    mending: Mending, redis: Redis
) -> None:
    bodies = [order_webhook(id=some_id(number)) for number in range(1, 151)]
    run(mending, [(f"msg-{number}", "order.paid", body) for number, body in enumerate(bodies)])
    redis.flushall()
    stored: list[Any] = mending.polar.stored
    stored[99] = replace(stored[99], timestamp=stored[100].timestamp)

    def swap(listed: int, _whole: int) -> None:
        if listed == 100:
            stored[99], stored[100] = stored[100], stored[99]

    restorer: Restorer = restorer_of(mending)
    found = restorer.look(mending.rules, now=stored[-1].timestamp, tell=swap)
    assert (found.listed, found.total, found.not_listed) == (149, 150, 1)


def test_what_polar_has_taken_back_beyond_what_it_gave_is_told(mending: Mending, redis: Redis) -> None:
    """A worker was at it before the rebuild, and did not know what a person had taken."""
    come(mending, PAID)
    run(mending, [REVOKED])
    redis.flushall()
    come(mending, PAID, refund_webhook(300))
    assert look(mending).over_reversed == {(ORDER, "api_usage"): 30}
    rebuild(mending)
    assert standing_of(mending).taken == {"api_usage": {"pack": 130}}


def test_what_was_taken_and_no_more_is_not_told_as_beyond(mending: Mending) -> None:
    come(mending, PAID, refund_webhook(300))
    run(mending, [REVOKED])
    forge(mending, f"revoke:{ORDER}", 5)  # beside the true one
    assert look(mending).over_reversed == {}
