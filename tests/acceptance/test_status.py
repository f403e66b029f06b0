"""``credits status`` for people, for cron and for programs."""

from importlib.metadata import version

from tests.support.cli_session import Desk
from tests.support.processes import eventually
from workers.store.arrivals import TO_DO, note_arrivals


def test_refused_webhooks_make_it_strict_and_quiet_shows_them_alone(desk: Desk) -> None:
    note_arrivals(desk.redis, (False, 6, "wrong webhook-signature"))
    quiet = desk.credits.run("status", "--strict", "--quiet")
    assert quiet.returncode == 1
    assert TO_DO in " ".join(quiet.stdout.split())
    assert " ok " not in quiet.stdout
    shown = desk.credits.run("status")
    assert (shown.returncode, version("credit-granter") in shown.stdout) == (0, True)
    answer = desk.credits.json("status")
    assert not answer["checks"]["webhooks"]["ok"]
    assert answer["version"] == version("credit-granter")


def test_where_all_is_well_quiet_prints_nothing(desk: Desk) -> None:
    with desk.credits.running("work"):
        eventually(lambda: _printed_when_well(desk) == "")


def _printed_when_well(desk: Desk) -> str | None:
    done = desk.credits.run("status", "--strict", "--quiet")
    return None if done.returncode else done.stdout
