"""``credits init``, killed in the middle: run again, it ends as if nothing had happened."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tests.support.crashing_cli import DIED, Boundary, Fate, name_of
from tests.support.doomed_cli import doomed
from tests.support.shops import PACK, SETTINGS, shop_in, stocked_polar
from workers.polar.client import Polar as Client

pytestmark = pytest.mark.heavy  # each test starts a process that dies


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", [Client.create_endpoint, Client.create_meter])
def test_killed_in_the_middle_and_run_again_there_is_one_endpoint_and_its_secret_is_known(
    tmp_path: Path, redis_url: str, method: Callable[..., object], when: str
) -> None:
    polar = stocked_polar()
    options = (*SETTINGS, *PACK, "--meter", "images", "--create-meter")
    boundary = Boundary(when=when, method=name_of(method))
    with shop_in(tmp_path, polar, redis_url) as shop:
        with doomed(shop, Fate.DIE, boundary, "init", *options) as process:
            # Before: the look whether the token may create. After: Polar has made it, and nobody here knows.
            assert process.process.wait(60) == DIED
        done = shop.run("init", *options)
        assert done.returncode == 0, done.stdout + done.stderr
    (endpoint,) = polar.endpoints
    assert dotenv_values(tmp_path / ".env")["POLAR_WEBHOOK_SECRET"] == endpoint.secret
    assert sorted(polar.meters) == ["api_usage", "images"]


def test_killed_before_a_move_is_made_and_run_again_the_same_endpoint_is_moved(
    tmp_path: Path, redis_url: str
) -> None:
    polar = stocked_polar()
    boundary = Boundary(when="before", method=name_of(Client.update_endpoint))
    with shop_in(tmp_path, polar, redis_url) as shop:
        assert shop.run("init", *SETTINGS, *PACK).returncode == 0
        (before,) = polar.endpoints
        moved = ("init", "--public-url", "https://another-tunnel.invalid", "--yes")
        with doomed(shop, Fate.DIE, boundary, *moved) as process:
            assert process.process.wait(60) == DIED
        assert shop.run("init", "--yes").returncode == 0
    (after,) = polar.endpoints
    assert (after.id, after.url) == (before.id, "https://another-tunnel.invalid/webhooks/polar")
    assert dotenv_values(tmp_path / ".env")["POLAR_WEBHOOK_SECRET"] == before.secret
