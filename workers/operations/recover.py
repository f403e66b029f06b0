"""Finds webhooks at Polar that this service does not have, and processes them.

Polar failed to deliver them; or it delivered them, and Redis has lost them since.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping, Sequence
from datetime import datetime

from msgspec import Struct, field
from pydantic import AwareDatetime, Field, ValidationError

from config.rules.model import Rules
from workers.core.batches import in_batches
from workers.core.delivery import Leased, Outcome
from workers.core.delivery_plans import plan_delivery
from workers.core.dry_run import Prospect, dry_run
from workers.core.envelope import STORED_TYPES, peek_type
from workers.core.views import View
from workers.operations.batch_runs import run_batches
from workers.operations.pacing import OnProgress, Pacer, ignore_progress
from workers.operations.previews import look_up
from workers.operations.spool import Spool
from workers.pipeline.granter import Granter
from workers.polar.client import Polar
from workers.polar.lists import Row, webhook_attempts
from workers.store.bodies import compress_body, decompress_body
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.timings import DEFAULT_TIMINGS

_NO_BODY = "Polar has archived it and no longer shows its body"
_NO_EVENT = "its body is not an event; its endpoint may use another format than Raw"


class _Event(View):
    id: str = Field(pattern=r"^[!-~]{1,200}$")  # becomes the delivery's id; the receiver accepts the same
    created_at: AwareDatetime
    type: str
    payload: str | None = None
    succeeded: bool | None = None


class _Attempt(View):
    webhook_event: _Event


class LostWebhook(Struct, frozen=True, kw_only=True):
    """A webhook that the store does not have; ``id`` is its ``webhook-id``."""

    id: str
    type: str
    created_at: datetime
    packed_body: bytes


class Preview(Struct, frozen=True, kw_only=True):
    """What processing a lost webhook would do."""

    id: str
    type: str
    created_at: datetime
    prospect: Prospect


class WebhookScan(Struct, kw_only=True):
    """The lost webhooks among the delivery attempts read so far. Both maps are on disk, by webhook id."""

    types: frozenset[str] = STORED_TYPES
    delivered: bool = False
    """Whether to look for webhooks that Polar has delivered, too: Redis may have lost them."""
    lost: MutableMapping[str, LostWebhook] = field(default_factory=lambda: Spool().mapping(LostWebhook))
    unusable: MutableMapping[str, str] = field(default_factory=lambda: Spool().mapping(str))
    """Webhooks that cannot be recovered, each with the reason."""
    not_listed: int = 0
    """How many attempts Polar counts that it does not list."""
    not_listed_around: Sequence[datetime] = ()
    """When they were made, as far as that is known."""

    def add(self, rows: Sequence[Row], known: Callable[[Sequence[str]], Collection[str]]) -> None:
        """Add a page of attempts; ``known`` returns those of the given ids that the store already has."""
        events = {event.id: event for row in rows if (event := _event(row)) and self._is_wanted(event)}
        new = [id_ for id_ in events if id_ not in self.lost and id_ not in self.unusable]
        reached = known(new) if new else ()
        for id_ in new:
            if id_ not in reached:
                self._take(events[id_])

    @property
    def oldest_first(self) -> Collection[LostWebhook]:
        """Return the lost webhooks in the order in which their events happened."""
        return Spool().sorted_list(
            self.lost.values(), lambda one: f"{one.created_at.timestamp():020.6f} {one.id}", LostWebhook
        )

    def _is_wanted(self, event: _Event) -> bool:
        """Return whether an event is of a type that is stored, and may be one that the store lacks."""
        return event.type in self.types and (self.delivered or event.succeeded is not True)

    def _take(self, event: _Event) -> None:
        if event.payload is None:
            self.unusable[event.id] = _NO_BODY
            return
        body = event.payload.encode(errors="replace")
        type_ = peek_type(body)
        if type_ is None:
            self.unusable[event.id] = _NO_EVENT
        elif type_ in self.types:
            self.lost[event.id] = LostWebhook(
                id=event.id, type=type_, created_at=event.created_at, packed_body=compress_body(body)
            )


def _event(row: Row) -> _Event | None:
    try:
        return _Attempt.model_validate(row).webhook_event
    except ValidationError:
        return None  # an attempt in a form that we do not know


class Recoverer(Struct, frozen=True, kw_only=True):
    """Finds webhooks that the store does not have, and processes them as if they had arrived."""

    store: DeliveryStore
    ledger: Ledger
    polar: Polar
    pacer: Pacer
    types: frozenset[str] = STORED_TYPES

    def find_lost(
        self,
        *,
        since: datetime,
        until: datetime,
        delivered: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> WebhookScan:
        """Return the webhooks that are not in the store; writes nothing.

        These are those that Polar failed to deliver; with ``delivered``, also those that Redis has lost.
        """
        found = WebhookScan(types=self.types, delivered=delivered)
        listing = webhook_attempts(since=since, before=until, types=self.types, only_failed=not delivered)
        reading = self.pacer.read_completely(self.polar, listing)
        for rows in self.pacer.rows(reading, scope="webhooks:read", on_progress=on_progress):
            found.add(rows, self._known)
        found.not_listed, found.not_listed_around = reading.missing, sorted(reading.gaps)
        return found

    def preview(self, lost: Iterable[LostWebhook], rules: Rules) -> Iterator[Preview]:
        """Yield for each webhook what processing it would do; writes nothing."""
        for some in in_batches(lost, DEFAULT_TIMINGS.deliveries_per_lease):
            planned = [plan_delivery(one.type, decompress_body(one.packed_body), rules) for one in some]
            for one, (each, standing) in zip(some, look_up(self.ledger, planned, rules), strict=True):
                yield Preview(
                    id=one.id, type=one.type, created_at=one.created_at, prospect=dry_run(each, standing)
                )

    def recover(self, lost: Iterable[LostWebhook], granter: Granter) -> Iterator[list[Outcome]]:
        """Store and process these webhooks; yield their outcomes batch by batch."""
        return run_batches(lost, self._store, pacer=self.pacer, granter=granter, store=self.store)

    def _store(self, lost: Sequence[LostWebhook]) -> tuple[Leased, ...]:
        # Polar may have delivered some of them in the meantime: workers process those.
        known = self._known([one.id for one in lost])
        rows = [(one.id, one.type, decompress_body(one.packed_body)) for one in lost if one.id not in known]
        return self.store.store_and_lease(rows)

    def _known(self, ids: Sequence[str]) -> set[str]:
        return {one.id for one in self.store.get(ids)}
