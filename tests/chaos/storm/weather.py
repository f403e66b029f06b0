"""The weather between us and Polar: what each ingest request of a storm meets, planned from a seed."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.responses import Response

from app.demo.polar import (
    CommitThenBreak,
    CommitThenWait,
    Fault,
    Garbage,
    RateLimited,
    Slow,
    Status,
)
from tests.chaos.storm.seed import dice, shuffled

_TOO_LATE_SECONDS = 0.8  # a worker in haste waits half a second

# How many requests meet the same: so many that an outage has several pauses, so few that the short
# storm has every kind.
_FRONTS = (1, 1, 2)
_FAIR_SPELLS = (1, 1, 2)
_REQUESTS_PER_SECOND = 12  # workers in haste make no more


@dataclass(frozen=True)
class Forgotten:
    """Nothing is stored, and that is said only after ``seconds``, whether the client still waits or not."""

    seconds: float

    async def __call__(self, _answer: Callable[[], Response]) -> Response:
        """Wait, then answer as a gateway would."""
        await asyncio.sleep(self.seconds)
        return Response(status_code=504)


@dataclass(frozen=True, kw_only=True)
class Lightning:
    """The workers are killed, one of them while it waits for this answer."""

    commits: bool
    kill_workers: Callable[[], object]

    async def __call__(self, answer: Callable[[], Response]) -> Response:
        """Ask Polar or do not, and kill who asked."""
        response = answer() if self.commits else Response(status_code=502)
        await asyncio.to_thread(self.kill_workers)
        return response


FAIR = "fair"

FAULTS: Mapping[str, Fault] = {
    "took it, then broke the connection": CommitThenBreak(),
    "took it, answered too late": CommitThenWait(_TOO_LATE_SECONDS),
    "took it too late": Slow(_TOO_LATE_SECONDS),
    "forgot it": Forgotten(_TOO_LATE_SECONDS),
    "500": Status(500),
    "502": Status(502),
    "429": RateLimited(1),
    "garbage": Garbage(),
    "untrue counts": Garbage('{"inserted": 0, "duplicates": 0}'),
    FAIR: Slow(0),
}
"""What a request may meet, by name."""

LIGHTNING = {
    "took it as lightning struck the workers": True,
    "lightning struck the workers before": False,
}
"""What else: whether the events were taken."""


def faults_of(seed: int, seconds: float) -> list[str]:
    """Return by name what the requests of a storm meet, one after the other; every kind in turn."""
    rng = dice(seed, "faults")
    kinds = [kind for kind in (*FAULTS, *LIGHTNING) if kind != FAIR]
    faults: list[str] = []
    while len(faults) < seconds * _REQUESTS_PER_SECOND:
        for kind in shuffled(rng, kinds):
            faults += [kind] * (1 if kind in LIGHTNING else rng.choice(_FRONTS))
            faults += [FAIR] * rng.choice(_FAIR_SPELLS)
    return faults


def fault(kind: str, kill_workers: Callable[[], object]) -> Fault:
    """Return the fault of that name."""
    if kind in LIGHTNING:
        return Lightning(commits=LIGHTNING[kind], kill_workers=kill_workers)
    return FAULTS[kind]
