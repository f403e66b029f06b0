"""The order of a recorded purchase, and what ``credits explain`` prints."""

import json

from tests.support.processes import TEN, Credits
from tests.support.recordings import PAYLOADS

PURCHASE = PAYLOADS / "order_paid_purchase.json"
ORDER = json.loads(PURCHASE.read_text())["data"]["id"]
KEY = f"credits:order:{ORDER}:api_usage"

PICKY = TEN.replace("pack,", "pack, when: order.net_amount > 5000 && order.currency == 'eur',")


def shown(credits_: Credits, what: str) -> list[str]:
    """Return the lines that ``explain`` prints, each with single spaces."""
    done = credits_.run("explain", what)
    assert (done.returncode, done.stderr) == (0, "")
    return [" ".join(line.split()) for line in done.stdout.splitlines()]
