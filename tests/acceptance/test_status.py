"""``credits status`` for people, for cron and for programs."""

from config.version import VERSION
from tests.support.cli_session import Desk
from tests.support.processes import eventually
from workers.store.arrivals import TO_DO, note_arrivals
from workers.store.losses import mark_loss


def test_refused_webhooks_make_it_strict_and_quiet_shows_them_alone(desk: Desk) -> None:
    note_arrivals(desk.redis, (False, 6, "wrong webhook-signature"))
    quiet = desk.credits.run("status", "--strict", "--quiet")
    assert quiet.returncode == 1
    assert TO_DO in " ".join(quiet.stdout.split())
    assert " ok " not in quiet.stdout
    shown = desk.credits.run("status")
    assert (shown.returncode, VERSION in shown.stdout) == (0, True)
    answer = desk.credits.json("status")
    assert not answer["checks"]["webhooks"]["ok"]
    assert answer["version"] == VERSION


def test_a_known_loss_is_an_error_of_check_and_status(desk: Desk) -> None:
    mark_loss(desk.redis)
    checked = desk.credits.run("check", "--offline")
    assert (checked.returncode, "credits rebuild" in checked.stdout) == (1, True)
    shown = desk.credits.run("status", "--strict", "--quiet")
    assert (shown.returncode, "credits rebuild" in shown.stdout) == (1, True)


def test_where_all_is_well_quiet_prints_nothing(desk: Desk) -> None:
    with desk.credits.running("work"):
        eventually(lambda: _printed_when_well(desk) == "")


def _printed_when_well(desk: Desk) -> str | None:
    done = desk.credits.run("status", "--strict", "--quiet")
    return None if done.returncode else done.stdout
