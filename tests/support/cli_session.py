"""A setup for testing the commands: a receiver, a Redis and a Polar run; a worker runs on request."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx
from redis import Redis

from app.demo.polar import Polar, create_app
from app.main import create_app as create_receiver
from tests.support.builders import order_webhook, some_id
from tests.support.processes import TEN, Credits, credits_in, eventually, post, some_polar
from tests.support.servers import running
from workers.store import keys
from workers.store.unconfirmed import Doubts

# Nobody listens on this port: it is reserved for root, and its service, discard, is obsolete.
NOWHERE = "http://127.0.0.1:9"

STRANGER = some_id(999)  # a customer that Polar does not know until a test adds it
NOBODY = TEN.replace("pack,", f"pack, products: [{some_id(1)}],")  # no order has this product
TWENTY = TEN.replace("api_usage: 10", "api_usage: 20")
# Keys that expire by themselves, or that a receiver writes when it has time.
_SHORT_LIVED = {keys.BUDGET, keys.RULES, keys.READY, keys.COMPARED, keys.WEBHOOKS}


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A running receiver, its Redis, a Polar, and the commands set up to use them."""

    url: str
    redis: Redis
    polar: Polar
    credits: Credits

    def receive(self, *bodies: bytes) -> list[str]:
        """Send webhooks to the receiver; return the ids of their deliveries."""
        with httpx.Client(base_url=self.url) as client:
            return [post(client, body) for body in bodies]

    def grant(self, *bodies: bytes) -> list[str]:
        """Receive webhooks and let a worker settle them."""
        ids = self.receive(*bodies)
        assert self.credits.run("work", "--burst").returncode == 0
        return ids

    def confirm(self) -> None:
        """Let the background process read back what is unconfirmed."""
        with self.credits.running("work"):
            eventually(lambda: Doubts(self.redis).count_unconfirmed() == 0)

    def rules(self, text: str) -> None:
        """Replace the rules file."""
        (self.credits.folder / "rules.yaml").write_text(text)

    def listed(self, *args: str) -> list[str]:
        """Return the ids that ``credits deliveries`` lists."""
        return [one["id"] for one in self.credits.json("deliveries", *args)]

    def status_of(self, delivery_id: str) -> tuple[str, str]:
        """Return a delivery's status and reason."""
        one = self.credits.json("show", delivery_id)
        return one["status"], one["reason"]

    def memory(self) -> dict[bytes, bytes]:
        """Return the dump of each of our keys in Redis, without those that expire by themselves."""
        names = [name for name in self.redis.scan_iter("credits:*") if name.decode() not in _SHORT_LIVED]
        return {name: cast(bytes, self.redis.dump(name)) for name in names}


@contextmanager
def desk_in(folder: Path, redis_url: str) -> Iterator[Desk]:
    """Yield a desk that uses an empty Redis."""
    polar = some_polar()
    with running(create_app(polar)) as polar_url, Redis.from_url(redis_url) as redis:
        usual = credits_in(folder, polar_url, REDIS_URL=redis_url)
        with running(create_receiver(usual.read())) as url:
            here = usual.with_settings(PORT=str(urlsplit(url).port))
            yield Desk(url=url, redis=redis, polar=polar, credits=here)


def purchase(number: int) -> bytes:
    return order_webhook(id=some_id(number))


def strangers_purchase() -> bytes:
    return order_webhook(id=some_id(9), customer_id=STRANGER)


def assert_one_line_error(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("credits: ")
    for word in words:
        assert word in line


def assert_usage_error(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert words in " ".join(done.stderr.split())
