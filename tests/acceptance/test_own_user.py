"""The Redis user in the docs may run every command that we use, and the docs list them all."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builders import CUSTOMER, some_id
from tests.support.cli_session import Desk, desk_in, purchase, strangers_purchase
from tests.support.paths import ROOT
from tests.support.polar_orders import operations_at, sell
from tests.support.reconciling import reconciler
from tests.support.redis_permissions import OF_EVERYBODY
from tests.support.redis_servers import Server, own_redis
from tests.support.sealing import seal
from workers.store import keys
from workers.store.server_check import COMMANDS

pytestmark = pytest.mark.heavy  # it runs every command

REDIS_PAGE = ROOT / "docs" / "operations" / "redis.md"
PASSWORD = "open-sesame"


# Only `credits forget` uses BGREWRITEAOF, and it works without it.
# RQ uses LPOP and BLPOP where it may not ask for the server's version.
NOT_ASKED_FOR = OF_EVERYBODY | {"acl|setuser", "bgrewriteaof", "publish", "subscribe", "lpop", "blpop"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with own_redis(tmp_path) as started:
        yield started


@pytest.fixture(params=["", " -info -bgrewriteaof"], ids=["as documented", "with less"])
def desk(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Yield a desk whose Redis user has exactly the documented permissions, or lacks the optional ones."""
    (line,) = re.findall(r"^ACL SETUSER .*$", REDIS_PAGE.read_text(), re.MULTILINE)
    with server.client() as redis:
        redis.execute_command(*f"{line}{request.param}".replace("PASSWORD", PASSWORD).split())  # type: ignore[no-untyped-call] # untyped there
    with desk_in(tmp_path, server.url_of("credits", PASSWORD)) as opened:
        yield opened


def test_every_command_works_as_the_documented_user(desk: Desk, server: Server) -> None:
    settled, failed = desk.grant(purchase(1), strangers_purchase())
    grant = ("--customer", CUSTOMER, "--meter", "api_usage", "--units", "5", "--key", "beta")
    for args in (
        ("check", "--offline"),
        ("status",),
        ("deliveries",),
        ("show", settled),
        ("explain", settled),
        ("grants", "--customer", CUSTOMER),
        ("balance", "--customer", CUSTOMER),
        ("replay", settled, "--yes"),
        ("dismiss", failed),
        ("backfill", "--since", "1d", "--yes"),
        ("recover", "--since", "1d", "--yes"),
        ("rebuild", "--yes"),
        ("grant", *grant),
        ("revoke", some_id(1)),
    ):
        done = desk.credits.run(*args)
        assert done.returncode == 0, (args, done.stdout + done.stderr)
    forgotten = desk.credits.run("forget", "--customer", CUSTOMER, "--yes")
    assert (forgotten.returncode, "run BGREWRITEAOF" in forgotten.stderr) in {(0, False), (1, True)}
    reconcile(desk)
    assert seal(desk.redis)
    with desk.redis.pubsub() as channel:  # type: ignore[no-untyped-call] # untyped there
        channel.subscribe(keys.SETTLED)  # as the storefront API does
        assert desk.redis.publish(keys.SETTLED, "nothing") == 1  # as a worker does
    with server.client() as administrator:
        used = {name.removeprefix("cmdstat_") for name in administrator.info("commandstats")}
    assert used - NOT_ASKED_FOR <= set(COMMANDS)


def reconcile(desk: Desk) -> None:
    """Run the reconciler once, with an order to find."""
    with operations_at(desk.redis) as operations:
        sell(operations.polar, 2)
        reconciler(operations, desk.credits.folder).run_if_due()
        assert operations.balance() == 10
