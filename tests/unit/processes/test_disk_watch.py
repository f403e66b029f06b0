"""A full disk is logged at its beginning, every five minutes, and at its end."""

from structlog.testing import capture_logs

from app.processes.disk_watch import DiskWatch


def test_a_full_disk_is_logged_again_every_five_minutes_until_it_is_over() -> None:
    found, now = [""], [0.0]
    watch = DiskWatch(lambda: found[0] or None, now=lambda: now[0])
    with capture_logs() as logs:
        watch.check()
        found[0] = "the disk is full"
        for now[0] in (1.0, 2.0, 300.0, 301.0, 302.0):
            watch.check()
        found[0] = ""
        for now[0] in (303.0, 304.0):
            watch.check()
    assert [(line["log_level"], line.get("reason")) for line in logs] == [
        ("error", "the disk is full"),
        ("error", "the disk is full"),
        ("info", None),
    ]
