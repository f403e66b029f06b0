"""The faults of Polar in a storm, one for each ingest request, planned from a seed."""

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
from tests.chaos.storm.seed import random_for, shuffled

_TOO_LATE_SECONDS = 0.8  # a hasty worker waits half a second

# How many requests in a row get the same fault: enough for an outage of several pauses, few enough for the
# short storm to have every kind.
_FAULTS_IN_A_ROW = (1, 1, 2)
_SUCCESSES_IN_A_ROW = (1, 1, 2)
_REQUESTS_PER_SECOND = 12  # hasty workers make no more


@dataclass(frozen=True)
class DroppedRequest:
    """Store nothing, and answer only after ``seconds``, whether the client still waits or not."""

    seconds: float

    async def __call__(self, _answer: Callable[[], Response]) -> Response:
        """Wait, then answer as a gateway would."""
        await asyncio.sleep(self.seconds)
        return Response(status_code=504)


@dataclass(frozen=True, kw_only=True)
class WorkersKilled:
    """Kill the workers, one of them while it waits for this answer."""

    commits: bool
    kill_workers: Callable[[], object]

    async def __call__(self, answer: Callable[[], Response]) -> Response:
        """Ingest or not, and kill the workers."""
        response = answer() if self.commits else Response(status_code=502)
        await asyncio.to_thread(self.kill_workers)
        return response


NO_FAULT = "fair"

FAULTS: Mapping[str, Fault] = {
    "took it, then broke the connection": CommitThenBreak(),
    "took it, answered too late": CommitThenWait(_TOO_LATE_SECONDS),
    "took it too late": Slow(_TOO_LATE_SECONDS),
    "forgot it": DroppedRequest(_TOO_LATE_SECONDS),
    "500": Status(500),
    "502": Status(502),
    "429": RateLimited(1),
    "garbage": Garbage(),
    "untrue counts": Garbage('{"inserted": 0, "duplicates": 0}'),
    NO_FAULT: Slow(0),
}
"""The faults by name."""

WORKER_KILLS = {
    "ingested it as the workers were killed": True,
    "the workers were killed before": False,
}
"""Kills of the workers by name, and whether the events are ingested."""


def plan_polar_faults(seed: int, seconds: float) -> list[str]:
    """Return the names of the faults of a storm, in order; each kind comes in turn."""
    rng = random_for(seed, "faults")
    kinds = [kind for kind in (*FAULTS, *WORKER_KILLS) if kind != NO_FAULT]
    faults: list[str] = []
    while len(faults) < seconds * _REQUESTS_PER_SECOND:
        for kind in shuffled(rng, kinds):
            faults += [kind] * (1 if kind in WORKER_KILLS else rng.choice(_FAULTS_IN_A_ROW))
            faults += [NO_FAULT] * rng.choice(_SUCCESSES_IN_A_ROW)
    return faults


def polar_fault(kind: str, kill_workers: Callable[[], object]) -> Fault:
    """Return the fault with this name."""
    if kind in WORKER_KILLS:
        return WorkersKilled(commits=WORKER_KILLS[kind], kill_workers=kill_workers)
    return FAULTS[kind]
