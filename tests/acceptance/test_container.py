"""The container image, built and run for real: small, without rights, safe to stop and to kill."""

import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml

from app.demo.polar import Polar, Status, create_app
from config.version import VERSION
from tests.acceptance.test_up import Held
from tests.support.builders import CUSTOMER, order_webhook, some_id
from tests.support.containers import Container, Podman, built_image, container, podman, volume
from tests.support.paths import ROOT
from tests.support.processes import SECRET, TOKEN, eventually, post, some_polar
from tests.support.redis_servers import free_port, own_redis
from tests.support.servers import running

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]  # an image is built

# A container starts several processes, beside other tests that do so too.
in_time = partial(eventually, patience_seconds=180)

DATA = "/var/lib/credit-granter"
MOST_BYTES = 250_000_000

# An expression, because the image leaves out what of the CEL library is not used.
RULES = """\
version: 1
meters: {api_usage: {}}
rules:
  - name: pack
    when: order.currency.matches("^[a-z]+$")
    grant: {api_usage: 10 * units}
"""


@dataclass(frozen=True, kw_only=True)
class Image:
    """The image, and the podman that has it."""

    engine: Podman
    name: str


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What a container is started with: an image, a volume, rules, and the Polar that it uses."""

    image: Image
    polar: Polar
    data: str
    rules: Path
    env: dict[str, str]

    @property
    def url(self) -> str:
        """Return where the receiver listens."""
        return f"http://127.0.0.1:{self.env['PORT']}"

    @contextmanager
    def running(self, *command: str, **env: str) -> Iterator[Container]:
        """Run a container on the volume while the block runs."""
        mounts = (
            "--volume",
            f"{self.data}:{DATA}",
            "--volume",
            f"{self.rules}:/srv/credit-granter/config:ro",
        )
        settings = self.env | env
        with container(self.image.engine, self.image.name, *command, options=mounts, env=settings) as one:
            yield one

    @contextmanager
    def ready(self) -> Iterator[Container]:
        """Run the image's own command; yield when it can store webhooks."""
        with self.running() as one:
            in_time(lambda: self.answers("/readyz") == httpx.codes.OK or one.has_ended())
            assert not one.has_ended(), one.said()
            yield one

    def answers(self, path: str) -> int:
        """Return the status of the receiver's answer; 0 if there is none."""
        try:
            return httpx.get(self.url + path, timeout=30).status_code
        except httpx.HTTPError:
            return 0

    def sells(self, number: int) -> str:
        """Deliver the webhook of a paid order; return the delivery's id."""
        with httpx.Client(base_url=self.url) as client:
            return post(client, order_webhook(id=some_id(number)))

    def balance(self) -> Decimal:
        return self.polar.balance(CUSTOMER, "api_usage")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Image:
    folder = tmp_path_factory.mktemp("image")
    engine = podman(folder)
    return Image(engine=engine, name=built_image(engine, folder, testrun_uid))


@pytest.fixture
def shop(image: Image, tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "mine.yaml").write_text(RULES)
    tmp_path.chmod(0o755)
    polar = some_polar()
    with running(create_app(polar)) as polar_url, volume(image.engine) as data:
        env = {
            "POLAR_ACCESS_TOKEN": TOKEN,
            "POLAR_WEBHOOK_SECRET": SECRET,
            "POLAR_SERVER": polar_url,
            "CREDITS_RULES": "config/mine.yaml",
            "PORT": str(free_port()),
        }
        yield Shop(image=image, polar=polar, data=data, rules=tmp_path, env=env)


def test_the_image_is_small_has_no_rights_and_says_what_it_is(image: Image) -> None:
    found = image.engine.inspect(image.name)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = {name.rpartition(".")[2]: value for name, value in found["Labels"].items()}
    assert found["Size"] < MOST_BYTES
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["StopSignal"] == "SIGTERM"
    assert (labels["version"], labels["description"]) == (VERSION, project["description"])


def test_it_credits_an_order_with_nothing_writable_but_its_volume(shop: Shop) -> None:
    with shop.ready() as one:
        shop.sells(1)
        in_time(lambda: shop.balance() == 10)
        assert one.is_healthy()
        assert one.execute("touch", "/srv/x", "/tmp/x").returncode != 0  # noqa: S108 - it must not be writable
        status = one.execute("credits", "status", "--strict")
        assert status.returncode == 0, status.stdout
        assert "1 granted" in status.stdout
        assert TOKEN not in one.said()
        assert SECRET not in one.said()


def test_when_stopped_it_finishes_open_work_and_ends_with_0(shop: Shop) -> None:
    polar_thinks = Held()
    shop.polar.faults.append(polar_thinks)
    with shop.ready() as one:
        shop.sells(1)
        in_time(lambda: not shop.polar.faults)
        stopping = threading.Thread(target=one.engine.must, args=("stop", "--time", "60", one.name))
        stopping.start()
        in_time(lambda: shop.answers("/livez") == 0)
        assert not one.has_ended()
        polar_thinks.released.set()
        stopping.join()
        assert one.exit_status() == 0
    assert shop.balance() == 10


def test_when_killed_it_loses_nothing(shop: Shop) -> None:
    with shop.ready() as one:
        credited = shop.sells(1)
        in_time(lambda: shop.balance() == 10)
        shop.polar.faults.extend([Status(503)] * 100)
        waiting = shop.sells(2)
        one.engine.must("kill", "--signal", "KILL", one.name)
        in_time(one.has_ended)
    shop.polar.faults.clear()
    with shop.ready() as one:
        in_time(lambda: shop.balance() == 20)
        for delivery in (credited, waiting):
            shown = one.execute("credits", "show", delivery)
            assert "granted" in shown.stdout
    assert shop.balance() == 20


def test_the_services_of_compose_credit_an_order_together(shop: Shop, tmp_path: Path) -> None:
    """Their commands and the worker's health check, with a Valkey that is started as theirs is."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    port = str(free_port())
    redis = {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    with (
        own_redis(tmp_path / "redis", *services["valkey"]["command"][1:], "--port", port),
        shop.running(*services["receiver"]["command"], **redis) as receiver,
        shop.running(*services["worker"]["command"], **redis) as worker,
    ):
        in_time(lambda: shop.answers("/readyz") == httpx.codes.OK)
        shop.sells(1)
        in_time(lambda: shop.balance() == 10)
        checked = worker.execute(*services["worker"]["healthcheck"]["test"][1:])
        assert checked.returncode == 0, checked.stdout
        assert receiver.is_healthy()


def test_its_health_check_fails_while_it_cannot_store(shop: Shop) -> None:
    with shop.running("credits", "serve", REDIS_URL=f"redis://127.0.0.1:{free_port()}") as one:
        in_time(lambda: shop.answers("/livez") == httpx.codes.OK)
        assert shop.answers("/readyz") == httpx.codes.SERVICE_UNAVAILABLE
        assert not one.is_healthy()


def test_without_settings_it_says_what_is_missing(shop: Shop) -> None:
    with shop.running(POLAR_ACCESS_TOKEN="") as one:
        in_time(one.has_ended)
        assert one.exit_status() == 1
        assert "POLAR_ACCESS_TOKEN is not set" in one.said()
