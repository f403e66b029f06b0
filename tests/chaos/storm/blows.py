"""The blows of a storm: which process is killed or frozen, and when, planned from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tests.chaos.storm.seed import dice, shuffled


class Harm(StrEnum):
    """What is done to processes, by SIGKILL, or by SIGSTOP and SIGCONT."""

    WORKER_KILLED = "a worker killed"
    WORKER_FROZEN = "a worker frozen"
    RECEIVER_KILLED = "the receiver killed"
    RECEIVER_FROZEN = "the receiver frozen"
    REDIS_KILLED = "Redis killed"
    REDIS_FROZEN = "Redis frozen"
    REDIS_HUNG = "Redis frozen, then killed"
    GUARDIAN_KILLED = "the guardian of Redis killed"
    ALL_KILLED = "all killed at once"


FROZEN = {Harm.WORKER_FROZEN, Harm.RECEIVER_FROZEN, Harm.REDIS_FROZEN, Harm.REDIS_HUNG}

# Workers are the scheduler too (they tick), and they are where credit is half done.
_FIRST_HARMS = (*Harm, *[Harm.WORKER_KILLED] * 2, Harm.WORKER_FROZEN)

# In a long storm Redis has time to come back, and credit to be given.
_LATER_HARMS = (*Harm, *[Harm.WORKER_KILLED] * 10, *[Harm.WORKER_FROZEN] * 5)

_SECONDS_BETWEEN_BLOWS = 0.45  # on average: the short storm has each of them
_FREEZES_SECONDS = (0.2, 3.0)  # of workers: shorter and longer than a lease in haste
_SHORT_FREEZES_SECONDS = (0.2, 1.2)  # of what all wait for: shorter and longer than they wait


@dataclass(frozen=True, kw_only=True)
class Blow:
    """One harm: when, to which worker (counted round), and for how long if frozen."""

    at_seconds: float
    harm: Harm
    which: int
    frozen_seconds: float


def blows_of(seed: int, seconds: float) -> list[Blow]:
    """Return what befalls the processes of a storm; every kind in turn."""
    rng = dice(seed, "blows")
    return [
        Blow(
            at_seconds=(number + rng.random()) * _SECONDS_BETWEEN_BLOWS,
            harm=harm,
            which=rng.randrange(100),
            frozen_seconds=rng.uniform(
                *(_FREEZES_SECONDS if harm is Harm.WORKER_FROZEN else _SHORT_FREEZES_SECONDS)
            ),
        )
        for number, harm in zip(range(round(seconds / _SECONDS_BETWEEN_BLOWS)), _in_turn(rng), strict=False)
    ]


def _in_turn(rng: Random) -> Iterator[Harm]:
    yield from shuffled(rng, _FIRST_HARMS)
    while True:
        yield from shuffled(rng, _LATER_HARMS)
