"""Reads back from Polar the grants of which it may have another amount, one at a time."""

import time
from datetime import timedelta
from functools import partial

from msgspec import Struct

from config.log import get_log
from workers.core.claims import Claim
from workers.core.confirmations import Reading, reading_of
from workers.core.grants import Grant
from workers.core.usage_events import GRANTED_BY, is_marked_ours, read_usage_event
from workers.core.wording import plain
from workers.errors import PolarError
from workers.operations.pacing import Pacer
from workers.polar.client import Polar
from workers.polar.lists import events
from workers.polar.responses import needs
from workers.store.unconfirmed import MISMATCH_ADVICE, UnconfirmedStore

log = get_log(__name__)

# If the reading process dies, others wait this long: longer than a request may wait for room.
_LONGEST_READING = timedelta(minutes=5)

_AFTER_ERROR_SECONDS = 60.0

_MISSING_ADVICE = "it is read again every hour; until it is listed nothing is taken back of this order"


class Confirmer(Struct):
    """Confirms grants whose request counted duplicates, within the share of work that can wait."""

    store: UnconfirmedStore
    polar: Polar
    pacer: Pacer
    _retry_at: float = 0.0

    def run_if_due(self) -> None:
        """Read back all grants that are due; after an error of Polar, pause for a minute."""
        if time.monotonic() < self._retry_at:
            return
        try:
            while self._confirm_next():
                pass
        except PolarError as error:
            log.warning("grants not confirmed yet", reason=str(error))
            self._retry_at = time.monotonic() + _AFTER_ERROR_SECONDS

    def _confirm_next(self) -> bool:
        """Read one grant back; return False if none is due, or another process is reading one."""
        if self.store.next_due() is None or not self.store.begin(at_most=_LONGEST_READING):
            return False
        try:
            if due := self.store.next_due():  # another process may have read it meanwhile
                self._confirm(*due)
            return due is not None
        finally:
            self.store.end()

    def _confirm(self, claim: Claim, grant: Grant) -> None:
        now = self.store.now()
        # Without a limit in time: a clock of Redis that is behind Polar's must not hide the event.
        listing = events(metadata={"granted_by": GRANTED_BY, "key": grant.key})
        with needs("events:read"):
            page = self.pacer.ask(partial(self.polar.page, listing))
        read = [
            read_usage_event(row)
            for row in page.items
            if is_marked_ours(row) and row["metadata"].get("key") == grant.key
        ]
        reading = reading_of(grant, read, settled_for=now - claim.settled[grant.meter])
        if self.store.write([reading])[0]:
            _log_mismatch(reading)


def _log_mismatch(reading: Reading) -> None:
    log.error(
        "Polar has another amount",
        key=reading.grant.key,
        ledger=plain(reading.grant.units),
        polar=reading.polar,
        advice=_MISSING_ADVICE if reading.read_again_after else MISMATCH_ADVICE,
    )
