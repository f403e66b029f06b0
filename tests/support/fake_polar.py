"""A fake of Polar in memory, as strict about events as Polar is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from workers.errors import PolarBrokenError, PolarRefusedError, PolarUnreachableError

Event = Mapping[str, Any]


@dataclass(kw_only=True)
class FakePolar:
    """Ingests as Polar does: a request is one transaction, and an ``external_id`` counts once for ever.

    ``script`` has the errors of the next requests (None: no error). ``loses_answers`` is the number of
    requests that are ingested while the caller gets no answer.
    """

    known: Callable[[str], bool] = lambda customer_id: True
    breaks_at: Callable[[Event], bool] = lambda event: False
    script: list[BaseException | None] = field(default_factory=list)
    loses_answers: int = 0
    requests: list[list[Event]] = field(default_factory=list)
    events: dict[str, Event] = field(default_factory=dict)

    def ingest(self, events: Sequence[Event]) -> int:
        """Accept all of ``events`` or none; return how many it had before."""
        self.requests.append(list(events))
        if self.script and (error := self.script.pop(0)):
            raise error
        self._check(events)
        duplicates = sum(event["external_id"] in self.events for event in events)
        for event in events:
            self.events.setdefault(event["external_id"], event)
        if self.loses_answers:
            self.loses_answers -= 1
            raise PolarUnreachableError("no answer from Polar: ReadTimeout")
        return duplicates

    def _check(self, events: Sequence[Event]) -> None:
        shapes = {i: words for i, event in enumerate(events) if (words := shape_problem(event))}
        strangers = {i for i, event in enumerate(events) if not self.known(event["customer_id"])}
        # As at Polar, bad shapes hide unknown customers, so finding both takes two requests.
        if named := shapes or dict.fromkeys(strangers, "customer_id: Customer does not exist."):
            raise PolarRefusedError("Polar answered 422", named=named)
        if any(map(self.breaks_at, events)):
            raise PolarBrokenError("Polar answered 500")

    def balance(self, customer_id: str, meter: str = "api_usage", prop: str = "units") -> Decimal:
        """Return the customer's balance on a meter that sums ``prop``."""
        used = (
            Decimal(str(event["metadata"][prop]))
            for event in self.events.values()
            if (event["customer_id"], event["name"]) == (customer_id, meter)
        )
        return -sum(used, Decimal(0))


def shape_problem(event: Event) -> str:
    """Return why Polar would refuse an event's shape; empty if it would not."""
    if not 1 <= len(event["name"]) <= 128:
        return "name: String should have at most 128 characters"
    for key, value in event["metadata"].items():
        if not 1 <= len(key) <= 40:
            return "metadata: String should have at most 40 characters"
        if isinstance(value, str) and not 1 <= len(value) <= 500:
            return f"metadata.{key}: String should have 1 to 500 characters"
        if not isinstance(value, str | int | float) or not math.isfinite(float_or_zero(value)):
            return f"metadata.{key}: Input should be a text, a number or a boolean"
    return ""


def float_or_zero(value: object) -> float:
    """Return a number as a float, and anything else as 0."""
    return float(value) if isinstance(value, int | float) else 0.0
