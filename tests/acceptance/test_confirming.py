"""Polar counts duplicates: after a lost answer nobody is told, after a lost ledger an operator is."""

import json

import pytest

from app.demo.polar import CommitThenBreak
from tests.support.alert_receiver import chat
from tests.support.builders import CUSTOMER, refund_webhook, some_id
from tests.support.cli_session import TWENTY, Desk, purchase
from tests.support.processes import TEN, eventually
from workers.core.delivery import Status
from workers.store.deliveries import DeliveryStore
from workers.store.unconfirmed import Doubts

pytestmark = pytest.mark.heavy  # whole services read back what they granted

KEY = f"credits:order:{some_id(1)}:api_usage"
REVOKED = ", on_refund: revoke}"


def test_after_an_answer_was_lost_the_grants_are_confirmed_without_a_word(desk: Desk) -> None:
    desk.rules(TEN.replace("10}}", f"10}}{REVOKED}"))
    desk.polar.faults.append(CommitThenBreak())
    with desk.credits.running("work") as working:
        desk.receive(*(purchase(number) for number in range(1, 4)))
        eventually(lambda: len(desk.polar.received) == 2)
        eventually(lambda: "granted" in working.said)
        eventually(lambda: Doubts(desk.redis).count_unconfirmed() == 0)
        desk.receive(refund_webhook(300, id=some_id(1)))
        eventually(lambda: desk.polar.balance(CUSTOMER, "api_usage") == 27)
    assert "another amount" not in working.said
    assert '"level":"error"' not in working.said
    answer = desk.credits.json("status")
    assert (answer["unconfirmed"], answer["mismatches"]) == (0, [])
    assert answer["checks"]["amounts"] == {"ok": True, "detail": "as at Polar"}


def test_another_amount_at_polar_is_told_everywhere_until_a_rebuild(desk: Desk) -> None:
    """The ledger is lost, and an old order comes again by rules that give more."""
    desk.rules(TEN.replace("10}}", f"10}}{REVOKED}"))
    desk.grant(purchase(1))
    desk.redis.flushall()
    desk.rules(TWENTY.replace("20}}", f"20}}{REVOKED}"))
    with (
        chat() as alerts,
        desk.credits.with_settings(CREDITS_ALERT_URL=alerts.url).running("work") as working,
    ):
        desk.receive(purchase(1))
        eventually(lambda: "Polar has another amount" in working.said)
        (refund,) = desk.receive(refund_webhook(1000, id=some_id(1)))
        eventually(lambda: DeliveryStore(desk.redis).get([refund])[0].status is Status.SKIPPED)
        (alert,) = eventually(lambda: [one for one in alerts.posted if one["kind"] == "mismatch"])
        eventually(lambda: "ledger" in alerts.kinds)  # the loss is reported, too
        lines = [json.loads(line) for line in working.said.splitlines() if "Polar has another amount" in line]
        assert [(one["key"], one["ledger"], one["polar"]) for one in lines] == [(KEY, "20", "10")]
        assert f"{KEY}: 20 in the ledger, 10 at Polar" in alert["text"]
        answer = desk.credits.json("status")
        assert answer["mismatches"] == [{"key": KEY, "ledger": 20, "polar": "10"}]
        assert not answer["checks"]["amounts"]["ok"]
        assert not answer["checks"]["ledger"]["ok"]
        shown = desk.credits.run("status", "--strict")
        assert (shown.returncode, "credits rebuild" in shown.stdout) == (1, True)
        assert "confirmed" in desk.status_of(refund)[1]
        assert desk.polar.balance(CUSTOMER, "api_usage") == 10
        desk.credits.run("rebuild", "--yes")
        eventually(lambda: desk.polar.balance(CUSTOMER, "api_usage") == 0)
    assert desk.credits.json("status")["mismatches"] == []
