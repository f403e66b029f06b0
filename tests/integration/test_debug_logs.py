"""At its most talkative the log tells nobody's address and no secret: logs are read, shipped and kept."""

import re
from pathlib import Path

import httpx
from redis import Redis

from app.demo.polar import create_app as create_polar
from tests.support.builders import PRODUCT
from tests.support.processes import SECRET, TOKEN, credits_in, eventually, post, some_polar
from tests.support.recordings import PAYLOADS, payload
from tests.support.servers import running
from workers.core.delivery import Status
from workers.store.deliveries import DeliveryStore

# One rule that credits, one whose condition and one whose amount stumble over the customer's address.
RULES = f"""\
version: 1
meters: {{api_usage: {{}}, images: {{}}}}
rules:
  - {{name: pack, grant: {{api_usage: 10}}}}
  - {{name: broken, when: customer.email == 7, grant: {{images: 5}}}}
  - {{name: odd, products: [{PRODUCT}], grant: {{images: "int(customer.email)"}}}}
"""

ADDRESS = re.compile(rb"[\w.+-]+@[\w-]+\.[\w.-]+")
ODD = [b'{"type": "order.paid", "data": {"id": "ann@example.com"}}', b"ann@example.com"]
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".headers"))
CUSTOMERS = sorted(
    {each.decode() for name in NAMES for each in re.findall(rb'"customer_id": ?"([^"]+)"', payload(name))}
)


def test_no_line_tells_an_address_or_a_secret(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    polar = some_polar(*CUSTOMERS)
    settings = {"REDIS_URL": redis_url, "LOG_LEVEL": "debug", "CREDITS_OPS_TOKEN": TOKEN}
    with running(create_polar(polar)) as polar_url:
        credits_ = credits_in(tmp_path, polar_url, rules=RULES, **settings)
        with credits_.running("up") as up, httpx.Client(base_url=up.url()) as receiver:
            for body in [*map(payload, NAMES), *ODD]:
                post(receiver, body)
            receiver.post("/webhooks/polar?ann@example.com", content=payload(NAMES[0]))
            receiver.get("/ann@example.com", headers={"From": "ann@example.com", "Authorization": TOKEN})
            eventually(lambda: DeliveryStore(redis).count_by_status()[Status.WAITING] == 0)
            assert DeliveryStore(redis).count_by_status()[Status.GRANTED]
            assert DeliveryStore(redis).count_by_status()[Status.FAILED]
    assert '"level":"debug"' in up.said
    assert told(b"".join(map(payload, NAMES)))
    assert told(up.said.encode()) == set()
    assert SECRET not in up.said
    assert TOKEN not in up.said


def told(text: bytes) -> set[bytes]:
    """Return the addresses in a text."""
    return set(ADDRESS.findall(text))
