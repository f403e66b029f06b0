"""A user of Redis with only the documented permissions can run everything."""

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.processes import eventually
from tests.support.redis_permissions import OF_EVERYBODY
from tests.support.redis_servers import own_redis
from tests.support.running_services import demoted, service_on
from workers.store.server_check import COMMANDS as CHECKED_FOR

pytestmark = pytest.mark.heavy  # servers stop, fail over and fill their disks

COMMANDS = ["check --offline", "status", "deliveries", "explain msg-1", "replay --all --yes", "work --burst"]

REDIS_PAGE = ROOT / "docs" / "operations" / "redis.md"

# The line that docs/operations/redis.md shows.
(ACL,) = re.findall(r"^ACL SETUSER .* resetchannels &\S+ (.+)$", REDIS_PAGE.read_text(), re.MULTILINE)


def test_a_user_with_only_the_documented_permissions_can_run_everything(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        url = server.add_user("credits", "s3cret", ACL.split())
        with service_on(url, tmp_path) as service:
            service.is_credited_for(1)
            with demoted(server):
                eventually(service.waits)
            service.is_credited_for(2)
            eventually(lambda: not service.waits())
            assert "s3cret" not in service.up.said
            assert "Warning" not in service.up.said
            for command in COMMANDS:
                done = service.credits.run(*command.split())
                assert (done.returncode, done.stderr) == (0, ""), command
            assert service.send("msg-unreadable", b"no webhook") == 202
            eventually(lambda: service.credits.json("show", "msg-unreadable")["status"] == "failed")
            assert service.credits.run("replay", "--all", "--dry-run").returncode == 0
        with server.client() as redis:
            denied = {one["object"] for one in redis.acl_log()}
            used = {name.removeprefix("cmdstat_") for name in redis.info("commandstats")}
    assert denied <= {"config|get", "client|list"}  # without them, some details are left out
    assert used - OF_EVERYBODY <= set(CHECKED_FOR)
