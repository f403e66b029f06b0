"""A full disk under the embedded Redis: everybody who looks is told, and all goes on once there is room."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.demo.polar import Polar, create_app
from tests.support.alert_receiver import Chat, chat
from tests.support.builders import order_webhook, some_id
from tests.support.processes import Credits, Running, credits_in, eventually, post, some_polar
from tests.support.receivers import OPS_TOKEN
from tests.support.servers import running

pytestmark = pytest.mark.heavy  # a whole service, on a file system of its own


MEGABYTE = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield the folder of a file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small file system")
    mounting = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(folder)]
    done = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine mounts no file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        eventually(lambda: subprocess.run(["umount", str(folder)], check=False).returncode == 0)


def fill(folder: Path) -> Path:
    """Fill a file system to its last byte, as a runaway log does; return the file that takes the room."""
    file = folder / "ballast"
    with file.open("wb", buffering=0) as ballast, suppress(OSError):
        while ballast.write(b"." * 4096):
            pass
    return file


@dataclass(kw_only=True)
class Service:
    """A running ``credits up`` with its Polar, its chat and its disk."""

    credits: Credits
    up: Running
    polar: Polar
    chat: Chat
    disk: Path

    def asked_at(self, url: str, path: str) -> httpx.Response:
        return httpx.get(url + path, headers={"Authorization": f"Bearer {OPS_TOKEN}"}, timeout=30)

    def logged(self, process: str) -> str:
        lines = self.up.said.splitlines()
        return "\n".join(line for line in lines if json.loads(line)["process"].startswith(process))


@pytest.fixture
def service(small_disk: Path, tmp_path: Path) -> Iterator[Service]:
    polar = some_polar()
    with running(create_app(polar)) as polar_url, chat() as room:
        credits_ = credits_in(
            tmp_path,
            polar_url,
            CREDITS_DATA_DIR=str(small_disk / "data"),
            CREDITS_ALERT_URL=room.url,
            CREDITS_OPS_TOKEN=OPS_TOKEN,
        )
        with credits_.running("up") as up:
            yield Service(credits=credits_, up=up, polar=polar, chat=room, disk=small_disk)


def checks(answer: httpx.Response) -> Any:
    return answer.json()["checks"]


def free_bytes(answer: httpx.Response) -> float:
    (value,) = re.findall(r"^credits_redis_disk_free_bytes (\S+)$", answer.text, re.MULTILINE)
    return float(value)


def test_a_full_disk_is_named_by_all_who_report_and_nothing_is_lost(service: Service) -> None:
    url = service.up.url()
    with httpx.Client(base_url=url) as receiver:
        post(receiver, order_webhook(id=some_id(1)))
        eventually(lambda: len(service.polar.events) == 1)
        ballast = fill(service.disk)
        with pytest.raises(AssertionError, match="cannot be stored now"):
            post(receiver, order_webhook(id=some_id(2)))

        told = "the disk is full: "
        where = str(service.disk / "data")
        for process in ("up", "worker", "background", "receiver"):
            eventually(lambda: told in service.logged(process))  # noqa: B023 - awaited here
            assert where in service.logged(process)

        for _ in range(3):  # it stays said, whatever Redis says of itself
            shown = service.credits.run("status", "--strict")
            assert shown.returncode == 1
            assert " ".join(shown.stdout.split()).count(told)
            assert "credits recover" in shown.stdout.replace("\n", "")
        health = service.asked_at(url, "/healthz")
        assert health.status_code == 503
        assert checks(health)["redis"]["detail"].startswith(told)
        assert httpx.get(url + "/readyz").status_code == 503
        assert free_bytes(service.asked_at(url, "/metrics")) < 2 * MEGABYTE
        (alert,) = eventually(lambda: service.chat.posted)
        assert alert["kind"] == "redis"
        assert told in alert["text"]

        ballast.unlink()
        eventually(lambda: httpx.get(url + "/readyz").status_code == 200)
        post(receiver, order_webhook(id=some_id(2)))
        eventually(lambda: len(service.polar.events) == 2)
        eventually(lambda: service.chat.kinds == ["redis", "well"])
        eventually(lambda: service.credits.run("status", "--strict").returncode == 0)
        assert free_bytes(service.asked_at(url, "/metrics")) > 10 * MEGABYTE
        assert "has room again" in service.logged("up")
        assert len(service.credits.json("grants")) == 2


def test_a_command_that_cannot_start_the_server_names_the_disk(small_disk: Path, tmp_path: Path) -> None:
    credits_ = credits_in(tmp_path, "http://127.0.0.1:9", CREDITS_DATA_DIR=str(small_disk / "data"))
    fill(small_disk)
    done = credits_.run("status")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "the disk is full: 0 KB are left for " in line
