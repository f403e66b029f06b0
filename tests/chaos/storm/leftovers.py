"""Finds what a storm must not leave behind: unknown keys in Redis, and secrets or tracebacks in the log."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import cast

from redis import Redis

from tests.integration.test_key_hygiene import KNOWN
from tests.support.processes import SECRET, TOKEN
from workers.core.delivery import Delivery
from workers.store import keys

_CUT_SHORT = r"rq:queue:credit-granter:intermediate(:first_seen:.+)?"  # RQ's note of jobs whose worker died
_UNSETTLED = (
    keys.DUE,
    keys.DUE_INSTALMENTS,
    keys.PAUSE,
    keys.OUTAGE,
    keys.PROBE,
    keys.UNCONFIRMED,
    keys.MISMATCHES,
)

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w+")

# RQ logs an outage of Redis that way. It is the last line of an exception in JSON, or of RQ's own message.
_REDIS_AWAY = re.compile(r"\\nredis\.exceptions\.\w+: ((?!\\n).)*(\\n\",\"process\":\"\w+\"})?$")


def find_leftover_keys(redis: Redis, deliveries: Collection[Delivery]) -> Iterator[str]:
    """Yield unknown keys, and keys that should be gone when no delivery waits."""
    known = {keys.delivery(one.id) for one in deliveries}
    known |= {keys.body(one.id) for one in deliveries}
    for key in sorted(one.decode() for one in cast(list[bytes], redis.keys())):
        if key in _UNSETTLED:
            yield f"{key} is still there"
        elif key not in known and not any(re.fullmatch(form, key) for form in (*KNOWN, _CUT_SHORT)):
            yield f"nobody knows the key {key}"


def find_careless_log_lines(log: Path) -> Iterator[str]:
    """Yield log lines with a secret, an e-mail address, or a traceback (except of an outage of Redis)."""
    for line in log.read_text().splitlines():
        if TOKEN in line or SECRET in line or _EMAIL.search(line):
            yield f"a secret or an e-mail address was logged: {line}"
        if "Traceback" in line and not _REDIS_AWAY.search(line):
            yield f"a traceback was logged: {line}"
