"""What a storm may leave behind: keys in Redis that somebody knows, and words that anybody may read."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import cast

from redis import Redis

from tests.integration.test_key_hygiene import KNOWN
from tests.support.processes import SECRET, TOKEN
from workers.core.delivery import Delivery
from workers.store import keys

_CUT_SHORT = r"rq:queue:credits:intermediate(:first_seen:.+)?"  # RQ's note of jobs whose worker was killed
_UNSETTLED = (keys.DUE, keys.PAUSE, keys.OUTAGE, keys.PROBE)

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w+")

# RQ tells of it that way, and the worker goes on or ends. It is the last line of an exception in JSON.
_REDIS_AWAY = re.compile(r"\\nredis\.exceptions\.\w+: ((?!\\n).)*$")


def leftovers(redis: Redis, deliveries: Collection[Delivery]) -> Iterator[str]:
    """Yield what nobody knows, or what should be gone when nothing waits."""
    known = {keys.delivery(one.id) for one in deliveries}
    known |= {keys.body(one.id) for one in deliveries}
    for key in sorted(one.decode() for one in cast(list[bytes], redis.keys())):
        if key in _UNSETTLED:
            yield f"{key} is still there"
        elif key not in known and not any(re.fullmatch(form, key) for form in (*KNOWN, _CUT_SHORT)):
            yield f"nobody knows the key {key}"


def careless_words(log: Path) -> Iterator[str]:
    """Yield the lines that show a secret, an e-mail address, or a traceback that is not Redis's absence."""
    for line in log.read_text().splitlines():
        if TOKEN in line or SECRET in line or _EMAIL.search(line):
            yield f"a secret or an e-mail address was logged: {line}"
        if "Traceback" in line and not _REDIS_AWAY.search(line):
            yield f"a traceback was logged: {line}"
