"""A ledger of each format that there ever was is read, worked on and rebuilt by this version."""

import pytest

from tests.formats.record import FOLDER, load_into, retaining
from tests.support.builders import CUSTOMER, refund_webhook, some_id
from tests.support.cli_session import STRANGER, Desk
from tests.support.ledgers import ledger_in
from tests.support.processes import eventually
from tests.support.sealing import seal
from workers.store import keys
from workers.store.format import FORMAT, prepare
from workers.store.unconfirmed import Doubts

FORMATS = sorted(int(path.stem) for path in FOLDER.glob("*.jsonl"))
DISMISSED = some_id(6)

heavy = pytest.mark.heavy  # many commands, one after the other


@pytest.fixture(params=[*FORMATS, "1, sealed"])
def old(desk: Desk, request: pytest.FixtureRequest) -> Desk:
    """Return a desk with a recorded ledger, as it was or after the background process has sealed it."""
    number, _, is_sealed = str(request.param).partition(",")
    load_into(desk, int(number))
    if is_sealed:
        prepare(desk.redis)
        seal(desk.redis)
    return retaining(desk)


def balances(desk: Desk) -> tuple[float, float]:
    """Return what the customer has at Polar."""
    calls, images = (float(desk.polar.balance(CUSTOMER, meter)) for meter in ("api_usage", "images"))
    return calls, images


def granted(desk: Desk) -> float:
    """Return what the ledger has given the customer on the first meter, as ``credits grants`` lists it."""
    rows = desk.credits.json("grants", "--customer", CUSTOMER)
    settled = (one for one in rows if one["meter"] == "api_usage" and one["status"] == "granted")
    return float(sum(one["credits"] for one in settled))


def test_there_is_a_recording_of_every_format() -> None:
    assert set(FORMATS) == set(range(1, FORMAT + 1))


def test_everything_in_it_is_read(old: Desk) -> None:
    status = old.credits.json("status")
    assert status["deliveries"] == {"waiting": 1, "granted": 9, "skipped": 2, "failed": 2}
    assert (status["grants"], status["unconfirmed"]) == (10, 1)
    assert (granted(old), balances(old)) == (32, (32, 3))
    outcomes = {one["type"]: one["status"] for one in old.credits.json("deliveries")}
    assert outcomes["manual.grant"] == outcomes["credits.dispute"] == outcomes["order.refunded"] == "granted"
    for one in old.credits.json("deliveries"):
        assert old.credits.run("show", one["id"]).returncode == 0


@heavy
def test_what_waits_is_credited_and_nothing_is_credited_again(old: Desk) -> None:
    old.grant()
    assert int(old.redis.get(keys.FORMAT) or 0) == FORMAT
    assert (granted(old), balances(old)) == (42, (42, 3))
    old.credits.run("replay", "--all", "--yes")
    assert (granted(old), balances(old)) == (42, (42, 3))


@heavy
def test_a_refund_takes_back_what_is_left(old: Desk) -> None:
    old.grant(refund_webhook(1000, id=some_id(1)), refund_webhook(1000, id=some_id(2)))
    assert balances(old) == (42 - 10 - 5, 3)
    old.grant(refund_webhook(1000, id=some_id(3)), refund_webhook(1000, id=some_id(7)))
    assert balances(old) == (27, 3)  # a dispute, and a person, have taken theirs


@heavy
def test_a_failure_can_be_replayed_and_a_dismissal_stands_until_it_is_named(old: Desk) -> None:
    old.polar.add_customer(STRANGER)
    old.credits.run("replay", "--failed", "--yes")
    assert old.polar.balance(STRANGER, "api_usage") == 10
    assert old.polar.balance(STRANGER, "images") == 3
    old.credits.run("replay", "--skipped", "--yes")
    assert old.polar.balance(STRANGER, "api_usage") == 10
    (dismissed,) = old.listed("--order", DISMISSED)
    old.credits.json("replay", dismissed, "--yes")
    assert old.polar.balance(STRANGER, "api_usage") == 20
    assert old.polar.balance(STRANGER, "images") == 3


@heavy
def test_a_lost_redis_is_rebuilt_to_what_polar_has(old: Desk) -> None:
    keys_at_polar = [one["external_id"] for one in old.polar.events]
    at_polar = {*keys_at_polar, *(key.rpartition(":")[0] for key in keys_at_polar)}
    before = set(ledger_in(old.redis)) & at_polar
    old.redis.flushall()
    old.credits.json("rebuild", "--yes")
    assert set(ledger_in(old.redis)) == before
    assert int(old.redis.get(keys.FORMAT) or 0) == FORMAT
    assert (granted(old), balances(old)) == (32, (32, 3))


@heavy
def test_a_doubtful_grant_is_read_back(old: Desk) -> None:
    old.confirm()
    eventually(lambda: Doubts(old.redis).count_mismatches() == 0)
    assert old.credits.json("status")["unconfirmed"] == 0
