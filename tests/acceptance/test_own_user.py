"""The Redis user that the documents show: it may do all that is done, and no more than they say."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_reconcile import reconciler
from tests.integration.test_redis_outages import OF_EVERYBODY
from tests.support.builders import CUSTOMER, some_id
from tests.support.cli_session import Desk, desk_in, purchase, strangers_purchase
from tests.support.paths import ROOT
from tests.support.polar_orders import operations_at, sell
from tests.support.redis_servers import own_redis
from workers.store.server_check import COMMANDS

REDIS_PAGE = ROOT / "docs" / "operations" / "redis.md"
PASSWORD = "open-sesame"


# BGREWRITEAOF is for forget alone, which lives without it.
NOT_ASKED_FOR = OF_EVERYBODY | {"acl|setuser", "bgrewriteaof"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Yield a desk whose Redis knows us as the page says, and in no other way."""
    (line,) = re.findall(r"^ACL SETUSER .*$", REDIS_PAGE.read_text(), re.MULTILINE)
    with own_redis(tmp_path) as server:
        with server.client() as redis:
            redis.execute_command(*line.replace("PASSWORD", PASSWORD).split())  # type: ignore[no-untyped-call] # untyped there
        with desk_in(tmp_path, server.url_of("credits", PASSWORD)) as opened:
            yield opened


def test_every_command_works_as_the_user_that_the_page_shows(desk: Desk) -> None:
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
        ("forget", "--customer", CUSTOMER, "--yes"),
    ):
        done = desk.credits.run(*args)
        assert done.returncode == 0, (args, done.stdout + done.stderr)
    reconcile(desk)
    used = {name.removeprefix("cmdstat_") for name in desk.redis.info("commandstats")}
    assert used - NOT_ASKED_FOR <= set(COMMANDS)


def reconcile(desk: Desk) -> None:
    """Let the reconciler do a round that finds something."""
    with operations_at(desk.redis) as operations:
        sell(operations.polar, 2)
        reconciler(operations, desk.credits.folder).run_if_due()
        assert operations.balance() == 10
