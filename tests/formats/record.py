"""Records a small ledger of the present format: ``python -m tests.formats.record`` writes ``<format>.jsonl``.

A recording is made once, when its format is new. Each step of the story may happen to any shop.
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from app.demo.polar.faults import CommitThenBreak
from app.demo.polar.request_models import EventsIngest
from tests.formats.dumps import dump, load
from tests.support.builders import CUSTOMER, dispute_webhook, order_webhook, refund_webhook, some_id
from tests.support.cli_session import STRANGER, Desk, desk_in, purchase
from tests.support.real_stores import let_leases_end, let_pause_end
from tests.support.redis_servers import own_redis
from tests.support.sealing import seal
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.format import FORMAT

FOLDER = Path(__file__).parent

RULES = """\
version: 1
meters: {api_usage: {}, images: {}}
rules:
  - {name: pack, triggers: [purchase], grant: {api_usage: 10}, on_refund: revoke, on_dispute: revoke}
  - {name: bonus, triggers: [purchase], grant: {images: 3}, once_per: customer}
"""
RETAIN = "3650d"

# They say what runs just now, and are written again by whatever runs next.
_PASSING = (keys.BUDGET, keys.RULES, keys.READY, keys.COMPARED, keys.WORKERS, keys.POLAR_CLOCK, keys.WATCH)


def live_through(desk: Desk) -> None:
    """Let everything happen to a ledger that can."""
    desk.rules(RULES)
    desk.polar.add_meter("images")
    desk.grant(purchase(1), purchase(2), purchase(3))  # 10 each; the bonus comes with one of them
    desk.grant(refund_webhook(500, id=some_id(2)))  # half of it
    dispute(desk, 3)
    desk.grant(order_webhook("order_paid_subscription_cancel_final_invoice", id=some_id(4)))  # skipped
    desk.grant(order_webhook(id=some_id(5), customer_id=STRANGER))  # failed
    (dismissed,) = desk.grant(order_webhook(id=some_id(6), customer_id=STRANGER))
    by_hand(desk, "dismiss", dismissed)
    desk.grant(b"no event")  # failed
    by_hand(desk, "grant", "--customer", CUSTOMER, "--meter", "api_usage", "--units", "7", "--key", "beta")
    desk.grant(purchase(7))
    by_hand(desk, "revoke", some_id(7), "--yes")
    unconfirmed(desk, 8)
    desk.receive(purchase(9))  # it waits


def dispute(desk: Desk, order: int) -> None:
    """Let a whole order be lost in a dispute, as the reconciler stores it."""
    body = dispute_webhook(1, 1000, id=some_id(order))
    DeliveryStore(desk.redis).store_and_lease([(f"dispute-{some_id(1)}", "credits.dispute", body)])
    let_leases_end(desk.redis)
    desk.grant()


def unconfirmed(desk: Desk, order: int) -> None:
    """Grant an order whose first request Polar took without an answer."""
    desk.polar.faults.append(CommitThenBreak())
    desk.grant(purchase(order))
    let_pause_end(desk.redis)
    let_leases_end(desk.redis)
    desk.grant()


def by_hand(desk: Desk, *args: str) -> None:
    done = desk.credits.run(*args)
    assert done.returncode == 0, done.stderr


def record() -> Iterator[str]:
    """Yield the lines of a recording: what Redis has, and the events that Polar has."""
    with (
        tempfile.TemporaryDirectory() as name,
        own_redis(Path(name)) as server,
        desk_in(Path(name), server.url) as desk,
    ):
        live_through(retaining(desk))
        seal(desk.redis)
        yield from dump(desk.redis, without=_PASSING)
        yield from (json.dumps({"polar": one}) for one in desk.polar.events)


def retaining(desk: Desk) -> Desk:
    """Return a desk by which nothing expires for ten years, so that a recording stays whole."""
    return replace(desk, credits=desk.credits.with_settings(CREDITS_RETAIN=RETAIN))


def load_into(desk: Desk, number: int) -> None:
    """Give the desk what a ledger of this format was when it was recorded, in Redis and at Polar."""
    lines = (FOLDER / f"{number}.jsonl").read_text().splitlines()
    load(desk.redis, [line for line in lines if "polar" not in json.loads(line)])
    events = [row["polar"] for row in map(json.loads, lines) if "polar" in row]
    desk.rules(RULES)
    desk.polar.add_meter("images")
    desk.polar.ingest(EventsIngest.model_validate({"events": events}).events)


def main() -> None:
    (FOLDER / f"{FORMAT}.jsonl").write_text("".join(f"{line}\n" for line in record()))


if __name__ == "__main__":
    main()
