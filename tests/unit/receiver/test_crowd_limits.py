"""How many connections may be open: what the system's limit of open files allows."""

import resource
from typing import Any

import pytest

from app.receiver.crowd_limits import most_connections, most_waiting, raise_file_limit


def limits(monkeypatch: pytest.MonkeyPatch, now: int, most: int) -> list[tuple[int, int]]:
    """Fake the limits of open files; return the list of all limits that are set."""
    current = [(now, most)]

    def change(_: int, to: tuple[int, int]) -> None:
        current.append(to)

    monkeypatch.setattr(resource, "getrlimit", lambda _: current[-1])
    monkeypatch.setattr(resource, "setrlimit", change)
    return current


@pytest.mark.parametrize(
    ("files", "most", "waiting"),
    [
        (20_000, 250, 2000), (2350, 250, 2000), (1024, 250, 674), (350, 250, 0), (349, 249, 0), (256, 156, 0),
        (64, 1, 0), (-1, 250, 2000),
    ],
)  # fmt: skip
def test_connections_leave_some_files_for_redis(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int, waiting: int
) -> None:
    limits(monkeypatch, resource.RLIM_INFINITY if files < 0 else files, files)
    assert (most_connections(), most_waiting()) == (most, waiting)


@pytest.mark.parametrize(
    ("now", "most", "raised"),
    [
        (1024, 4096, (4096, 4096)),
        (4096, 4096, (4096, 4096)),
        (256, resource.RLIM_INFINITY, (10_240, resource.RLIM_INFINITY)),
        (20_000, resource.RLIM_INFINITY, (20_000, resource.RLIM_INFINITY)),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_allowed(
    monkeypatch: pytest.MonkeyPatch, now: int, most: int, raised: tuple[int, int]
) -> None:
    current = limits(monkeypatch, now, most)
    raise_file_limit()
    assert current[-1] == raised


def test_a_system_that_refuses_to_raise_the_limit_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ValueError("not allowed to raise maximum limit")

    limits(monkeypatch, 256, 512)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_file_limit()
    assert most_connections() == 156
