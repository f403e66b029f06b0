"""Writes into the ledger what `rebuild` read back from Polar; each call is one atomic step in Redis."""

import json
from collections.abc import Sequence

from redis import Redis

from workers.core.claims import REBUILD
from workers.core.restorations import Correction, Restoration
from workers.store import keys
from workers.store.ledger_rows import correction_row, restoration_row
from workers.store.scripts import load_script

_AUDIT_BATCH = 200  # while a script runs, everybody waits


class RestorationStore:
    """The ledger as `rebuild` writes it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._correct = redis.register_script(load_script("correct"))
        self._restore = redis.register_script(load_script("restore"))
        self._extend_audit = redis.register_script(load_script("extend_audit"))

    def correct(self, corrections: Sequence[Correction]) -> list[bool]:
        """Write Polar's amounts over the ledger's; say of each fact whether it was still as it was read."""
        written = self._correct(args=[json.dumps([correction_row(one) for one in corrections])])
        return [bool(one) for one in written]

    def restore(self, restorations: Sequence[Restoration]) -> list[bool]:
        """Write facts that the ledger lacks; say of each whether all of it was written."""
        rows = json.dumps([restoration_row(one) for one in restorations])
        written = self._restore(keys=[keys.CUSTOMERS, keys.RESTORED], args=[REBUILD, rows])
        return [bool(one) for one in written]

    def extend_audit(self) -> None:
        """Put what was restored into the audit trail: by this rebuild, and by one that was killed."""
        while self._extend_audit(keys=[keys.RESTORED, keys.AUDIT], args=[_AUDIT_BATCH]):
            pass
