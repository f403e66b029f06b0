"""What one worker of the model did with one lease, and what all did since the log was last read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.chaos.world import RulesFile
from workers.core.delivery import Lease, Outcome
from workers.errors import PolarError


@dataclass(kw_only=True)
class Request:
    """A request to Polar: the keys that were sent, and the error."""

    keys: list[str]
    was_its_turn: bool
    error: PolarError | None = None


@dataclass(kw_only=True)
class Run:
    """One worker's work on one lease, as seen from outside."""

    file: RulesFile
    lease: Lease
    planned: set[str] = field(default_factory=set)
    """Deliveries that it planned while it held their lease."""
    open: dict[str, set[str]] = field(default_factory=dict)
    """By delivery: the keys that Polar had not confirmed at the last claim."""
    makers: dict[str, str] = field(default_factory=dict)
    """The first delivery of each open key."""
    makes: set[str] = field(default_factory=set)
    """Deliveries that had claimed grants of their own at the last claim."""
    turns: int = 0
    was_put_off: bool = False
    """Our share of the rate limit was used up."""
    requests: list[Request] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    """The calls to the throttle that ended an outage or released a probe."""
    throttle: list[float] = field(default_factory=list)
    looked: dict[str, tuple[Mapping[str, Any] | None, datetime]] = field(default_factory=dict)
    """What Polar has shown of subscriptions, and when by its clock."""
    was_blind: bool = False
    """Polar has not shown them."""
    lost: tuple[set[str], set[str]] | None = None
    """Deliveries whose lease it had lost when it settled, and those that the ledger reported as lost."""
    reported: set[str] = field(default_factory=set)
    """Deliveries whose outcome it returned."""

    @property
    def strikes(self) -> dict[str, int]:
        """Return by delivery how often it had failed alone before."""
        return {one.id: one.strikes for one in self.lease.deliveries}

    @property
    def accepted(self) -> set[str]:
        """Return the keys of what Polar confirmed."""
        return {key for one in self.requests if one.error is None for key in one.keys}


@dataclass
class WorkLog:
    """The workers' actions since the log was last read."""

    planned: list[tuple[Run, str]] = field(default_factory=list)
    """Deliveries that were planned by the worker that held their lease."""
    ended: list[tuple[Run, Outcome]] = field(default_factory=list)
    """Outcomes that were stored."""
    over: list[Run] = field(default_factory=list)
    """Finished runs."""
    begun: list[tuple[Run, str]] = field(default_factory=list)
    """Later instalments that were claimed, by their subjects."""
    released: list[str] = field(default_factory=list)
    """Subjects of claims that were given up: others may be made instead."""
    frozen: dict[str, RulesFile] = field(default_factory=dict)
    """The rules by which each subject was claimed; never cleared."""

    def close(self) -> None:
        """Clear what has been read."""
        for entries in (self.planned, self.ended, self.over, self.begun, self.released):
            entries.clear()
