"""What the granter needs of the stores and of Polar: the protocols that fakes implement in tests."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from workers.core.claims import Standing, TakeBack
from workers.core.delivery import Lease, Outcome
from workers.core.grants import Grant
from workers.core.pauses import PauseCause
from workers.core.planning import Plan


class Deliveries(Protocol):
    """Where deliveries come from."""

    def lease(self, most: int) -> Lease:
        """Take up to ``most`` that are due."""
        ...


class Ledger(Protocol):
    """Where grants are claimed and settled."""

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Freeze each (delivery id, plan) whose lease, by its attempt, still holds; return what stands."""
        ...

    def take_back(self, claims: Sequence[TakeBack]) -> None:
        """Freeze what is taken back, unless something else has been taken back meanwhile."""
        ...

    def settle(self, accepted: Sequence[Grant], outcomes: Sequence[Outcome]) -> set[str]:
        """Write down what Polar took and what became of the deliveries, but for those returned: others'."""
        ...


class Throttle(Protocol):
    """What keeps everybody from asking Polar in vain."""

    def take_request(self) -> bool:
        """Say whether one more request may be made now."""
        ...

    def pause(self, seconds: float, reason: str, cause: PauseCause) -> None:
        """Let everybody wait; and, where Polar's limit is reached, ask less often for a while."""
        ...

    def release_probe(self) -> None:
        """Let another be the first to ask."""
        ...

    def end_outage(self) -> None:
        """Let everybody go on."""
        ...


class Polar(Protocol):
    """Where usage events go: Polar."""

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Ingest all of them or raise PolarError."""
        ...
