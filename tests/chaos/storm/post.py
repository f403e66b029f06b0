"""The post in a storm: sends letters as Polar does, and remembers what was acknowledged."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.receiver.signature import sign
from tests.chaos.storm.shop import Letter
from tests.support.processes import SECRET

_PATIENCE_SECONDS = 1.5  # Polar waits ten
_RETRY_SECONDS = 0.3  # and twice that, and so on
_LONGEST_RETRY_SECONDS = 2.0
_FORGER = "whsec_of_somebody_else"


class NoAnswerError(Exception):
    """The receiver hung up, maybe in the midst of its answer."""


@dataclass
class Post:
    """What came of the letters."""

    url: str
    acknowledged: dict[str, str] = field(default_factory=dict)
    """By id, what the receiver said that it did with it."""
    tries: Counter[str] = field(default_factory=Counter)
    """How often each answer was met."""
    sent: set[str] = field(default_factory=set)

    async def deliver(self, letters: Iterable[Letter]) -> None:
        """Send every letter when it is due, until it is acknowledged or given up."""
        async with asyncio.TaskGroup() as group:
            for letter in letters:
                for at_seconds in letter.at_seconds:
                    group.create_task(self._send(letter, at_seconds))

    async def _send(self, letter: Letter, at_seconds: float) -> None:
        await asyncio.sleep(at_seconds)
        patience, retry = letter.hangs_up_seconds or _PATIENCE_SECONDS, _RETRY_SECONDS
        tries = 0
        while not await self._try(letter, patience) and not letter.is_forged:
            tries += 1
            if tries == letter.tries:
                return
            await asyncio.sleep(retry)
            patience, retry = _PATIENCE_SECONDS, min(2 * retry, _LONGEST_RETRY_SECONDS)

    async def _try(self, letter: Letter, patience_seconds: float) -> bool:
        """Send ``letter`` once; say whether it was acknowledged."""
        headers = sign(_FORGER if letter.is_forged else SECRET, letter.id, int(time.time()), letter.body)
        self.sent.add(letter.id)
        try:
            async with asyncio.timeout(patience_seconds):
                status, body = await _post(self.url, headers, letter.body)
        except (NoAnswerError, OSError) as error:  # and TimeoutError is one of those
            self.tries[type(error).__name__] += 1
            return False
        self.tries[str(status)] += 1
        if 200 <= status < 300:
            self.acknowledged[letter.id] = json.loads(body)["disposition"]
        return 200 <= status < 300


async def _post(url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """Return status and body of the answer; whoever is cancelled hangs up at once."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = [f"POST {target.path} HTTP/1.1", f"Host: {target.netloc}", f"Content-Length: {len(body)}", *lines]
    try:
        writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode() + body)
        start, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    length = re.search(rb"content-length: (\d+)", start)
    if length is None or len(rest) < int(length[1]):
        raise NoAnswerError
    return int(start.split()[1]), rest
