"""The process faults of a storm: which process is killed or frozen, and when, planned from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tests.chaos.storm.seed import random_for, shuffled


class Harm(StrEnum):
    """The kinds of faults: by SIGKILL, or by SIGSTOP and SIGCONT."""

    WORKER_KILLED = "a worker killed"
    WORKER_FROZEN = "a worker frozen"
    RECEIVER_KILLED = "the receiver killed"
    RECEIVER_FROZEN = "the receiver frozen"
    REDIS_KILLED = "Redis killed"
    REDIS_FROZEN = "Redis frozen"
    REDIS_HUNG = "Redis frozen, then killed"
    GUARDIAN_KILLED = "the guardian of Redis killed"
    ALL_KILLED = "all killed at once"
    CLOCK_SET = "the clock of Redis set"


FROZEN = {Harm.WORKER_FROZEN, Harm.RECEIVER_FROZEN, Harm.REDIS_FROZEN, Harm.REDIS_HUNG}

# Most faults hit workers: they hold half-done work, and they are the scheduler.
_FIRST_HARMS = (*Harm, Harm.WORKER_KILLED, Harm.WORKER_FROZEN)

# A long storm leaves Redis time to come back, and workers time to grant.
_LATER_HARMS = (*Harm, *[Harm.WORKER_KILLED] * 10, *[Harm.WORKER_FROZEN] * 5)

_SECONDS_BETWEEN_FAULTS = 0.45  # on average, so that the short storm has each kind
_FREEZES_SECONDS = (0.2, 3.0)  # of workers: shorter and longer than a hasty lease
_SHORT_FREEZES_SECONDS = (0.2, 1.2)  # of receiver and Redis: shorter and longer than the timeouts


@dataclass(frozen=True, kw_only=True)
class ProcessFault:
    """One fault: when, to which worker (modulo their number), and how long it is frozen."""

    at_seconds: float
    harm: Harm
    which: int
    frozen_seconds: float


def plan_process_faults(seed: int, seconds: float) -> list[ProcessFault]:
    """Return the process faults of a storm; each kind comes in turn."""
    rng = random_for(seed, "blows")
    return [
        ProcessFault(
            at_seconds=(number + rng.random()) * _SECONDS_BETWEEN_FAULTS,
            harm=harm,
            which=rng.randrange(100),
            frozen_seconds=rng.uniform(
                *(_FREEZES_SECONDS if harm is Harm.WORKER_FROZEN else _SHORT_FREEZES_SECONDS)
            ),
        )
        for number, harm in zip(range(round(seconds / _SECONDS_BETWEEN_FAULTS)), _in_turn(rng), strict=False)
    ]


def _in_turn(rng: Random) -> Iterator[Harm]:
    yield from shuffled(rng, _FIRST_HARMS)
    while True:
        yield from shuffled(rng, _LATER_HARMS)
