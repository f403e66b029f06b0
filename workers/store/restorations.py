"""Writes into the ledger what `credits rebuild` has read back from Polar. Each fact is one atomic step."""

import json
from collections.abc import Sequence
from datetime import datetime

from redis import Redis

from workers.core.claims import REBUILD
from workers.core.confirmations import Reading
from workers.core.grants import Grant
from workers.core.next_instalments import NextInstalment
from workers.core.restorations import Correction, Restoration
from workers.store import keys
from workers.store.format import FORMAT
from workers.store.losses import end_loss
from workers.store.outcome_rows import instalment_member
from workers.store.restoration_rows import correction_row, reading_row, restoration_row
from workers.store.scripts import load_script, milliseconds_of

_AUDIT_BATCH = 200  # every other client waits while a script runs


class RestorationStore:
    """The ledger as `rebuild` writes it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._confirm = redis.register_script(load_script("confirm"))
        self._correct = redis.register_script(load_script("correct"))
        self._restore = redis.register_script(load_script("restore"))
        self._extend_audit = redis.register_script(load_script("extend_audit"))
        self._queue_take_backs = redis.register_script(load_script("queue_take_backs"))

    def correct(self, corrections: Sequence[Correction]) -> list[bool]:
        """Replace the ledger's amounts with Polar's; return for each fact whether it was done.

        A fact that has changed since it was read is left as it is.
        """
        rows = json.dumps([correction_row(one) for one in corrections])
        written = self._correct(keys=[keys.UNCONFIRMED, keys.MISMATCHES], args=[rows])
        return [bool(one) for one in written]

    def confirm(self, grants: Sequence[Grant]) -> None:
        """Note that Polar has these grants as the ledger has them."""
        rows = json.dumps([reading_row(Reading(grant=one, is_equal=True)) for one in grants])
        self._confirm(
            keys=[keys.UNCONFIRMED, keys.MISMATCHES, keys.DUE, keys.ALERTS],
            args=[keys.DELIVERY, keys.BODY, keys.DELIVERIES, rows],
        )

    def restore(self, restorations: Sequence[Restoration]) -> list[bool]:
        """Write facts that the ledger lacks; return for each whether all of it was written.

        What else is lost with them nobody knows, such as which orders were skipped. So workers begin anew: by
        itself the reconciler grants no order from before.
        """
        if restorations:
            self._redis.delete(keys.BEGAN)
        rows = json.dumps([restoration_row(one) for one in restorations])
        written = self._restore(
            keys=[keys.CUSTOMERS, keys.RESTORED, keys.FORMAT],
            args=[REBUILD, FORMAT, rows, keys.OFFERED],
        )
        return [bool(one) for one in written]

    def begin_instalments(self, following: Sequence[NextInstalment]) -> None:
        """Put instalments into the set of those to come, except those that are there."""
        if following:
            members = {instalment_member(one): milliseconds_of(one.at) for one in following}
            self._redis.zadd(keys.INSTALMENTS, members, nx=True)

    def extend_audit(self) -> None:
        """Add restored grants to the audit trail, also those of an earlier rebuild that was killed."""
        while self._extend_audit(keys=[keys.RESTORED, keys.AUDIT], args=[_AUDIT_BATCH]):
            pass

    def queue_take_backs(self, orders: Sequence[str]) -> None:
        """Make it due to take back what the refunds of these orders take. The workers do it."""
        self._queue_take_backs(keys=[keys.DUE], args=[keys.DELIVERY, keys.BODY, keys.DELIVERIES, *orders])

    def end_loss(self, *, since: datetime | None) -> None:
        """Note that the ledger has all that Polar has since this moment, or of all times."""
        end_loss(self._redis, since)
