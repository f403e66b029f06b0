"""A fake Polar with moods, which remembers the first event that it was sent under each key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.support.fake_polar import Event, FakePolar
from tests.support.fake_service import BROKEN, DENIED, UNREACHABLE, limited
from workers.errors import PolarError


class Mood(StrEnum):
    """How Polar answers, or that it is not called at all."""

    FINE = "fine"
    AWAY = "away"
    BROKEN = "500"
    LIMITED = "429"
    DENIED = "401"
    SILENT = "takes everything and then breaks the connection"
    SPENT = "is not asked: our share of its rate limit is used up"


_ANSWERS: Mapping[Mood, PolarError] = {
    Mood.AWAY: UNREACHABLE,
    Mood.BROKEN: BROKEN,
    Mood.LIMITED: limited(5),
    Mood.DENIED: DENIED,
}


@dataclass(kw_only=True)
class MoodyPolar(FakePolar):
    """A fake Polar that does not know some customers for a while, and answers 500 to some events."""

    mood: Mood = Mood.FINE
    strangers: set[str] = field(default_factory=set)
    stumbles: set[str] = field(default_factory=set)
    """Customers and meters to whose events it answers 500."""
    ever_strangers: set[str] = field(default_factory=set)
    ever_stumbled: set[str] = field(default_factory=set)
    first_told: dict[str, Event] = field(default_factory=dict)
    contradictions: list[tuple[Event, Event]] = field(default_factory=list)
    """The first event under a key, and a different one that was sent later."""

    def __post_init__(self) -> None:
        self.known = lambda customer_id: customer_id not in self.strangers
        self.breaks_at = lambda event: not self.stumbles.isdisjoint({event["customer_id"], event["name"]})

    def ingest(self, events: Sequence[Event]) -> int:
        """Accept all of ``events`` or none, depending on the mood."""
        for event in events:
            first = self.first_told.setdefault(event["external_id"], event)
            if first != event:
                self.contradictions.append((first, event))
        if error := _ANSWERS.get(self.mood):
            raise error
        duplicates = super().ingest(events)
        if self.mood is Mood.SILENT:
            raise UNREACHABLE
        return duplicates

    def trouble(self, *, strangers: set[str], stumbles: set[str]) -> None:
        """Toggle the unknown customers, and the customers and meters to whose events it answers 500."""
        self.strangers ^= strangers
        self.stumbles ^= stumbles
        self.ever_strangers |= self.strangers
        self.ever_stumbled |= self.stumbles

    def heal(self) -> None:
        """Accept everything, and know every customer."""
        self.mood = Mood.FINE
        self.strangers.clear()
        self.stumbles.clear()
