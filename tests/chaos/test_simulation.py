"""A simulation of the service on a real Redis: from a seed, everything that can go wrong, in any order.

``SIMULATION_SEEDS=1000 SIMULATION_STEPS=500 pytest tests/chaos/test_simulation.py -s`` is a long one;
SIMULATION_SEED is its first seed. A seed gives the same steps each time.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import cast

import pytest

from tests.chaos.simulation.clocked_redis import ClockedRedis
from tests.chaos.simulation.simulation import Simulation
from tests.support.redis_servers import Server

_FIRST_SEED = int(os.environ.get("SIMULATION_SEED", "1"))
_SEEDS = int(os.environ.get("SIMULATION_SEEDS", "4"))
_STEPS = int(os.environ.get("SIMULATION_STEPS", "200"))


@pytest.fixture(scope="module")
def clocked_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockedRedis]:
    """Yield a server whose clock the simulation moves; it writes nothing to disk."""
    server = Server(folder=tmp_path_factory.mktemp("redis"), args=("--appendonly", "no", "--save", ""))
    server.start()
    with cast(ClockedRedis, ClockedRedis.from_url(server.url)) as redis:
        yield redis
    server.kill()


@pytest.fixture(scope="module")
def injected() -> Iterator[Counter[str]]:
    """Yield what was injected in all simulations; print it at the end."""
    total: Counter[str] = Counter()
    yield total
    print(f"\n{_SEEDS} seeds from {_FIRST_SEED}, {_STEPS} steps each: {dict(sorted(total.items()))}")  # noqa: T201


@pytest.mark.parametrize("seed", range(_FIRST_SEED, _FIRST_SEED + _SEEDS))
def test_whatever_happens_credits_are_exact(
    seed: int, clocked_redis: ClockedRedis, injected: Counter[str], quiet: None
) -> None:
    simulation = Simulation(seed, clocked_redis)
    try:
        simulation.simulate(_STEPS)
    except BaseException as error:
        error.add_note(
            f"at step {simulation.step}; again with: SIMULATION_SEED={seed} SIMULATION_SEEDS=1 "
            f"SIMULATION_STEPS={_STEPS} .venv/bin/python -m pytest tests/chaos/test_simulation.py -s"
        )
        raise
    injected.update(simulation.done)
