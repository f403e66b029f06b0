"""Sends the webhooks of a storm as Polar does, and records which were acknowledged."""

import asyncio
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.receiver.signature import sign
from tests.chaos.storm.shop import PlannedWebhook
from tests.support.processes import SECRET

_PATIENCE_SECONDS = 1.5  # Polar waits ten seconds
_RETRY_SECONDS = 0.3  # doubles with each attempt
_LONGEST_RETRY_SECONDS = 2.0
_FORGER = "whsec_of_somebody_else"


class NoAnswerError(Exception):
    """The receiver closed the connection, maybe during its answer."""


@dataclass
class WebhookSender:
    """The sender, and the answers that it got."""

    url: str
    acknowledged: dict[str, str] = field(default_factory=dict)
    """The disposition of each acknowledged webhook, by id."""
    tries: Counter[str] = field(default_factory=Counter)
    """How often each status or error was the answer."""
    sent: set[str] = field(default_factory=set)

    async def deliver(self, webhooks: Iterable[PlannedWebhook]) -> None:
        """Send every webhook at its time, until it is acknowledged or given up."""
        async with asyncio.TaskGroup() as group:
            for planned in webhooks:
                for at_seconds in planned.at_seconds:
                    group.create_task(self._send(planned, at_seconds))

    async def _send(self, planned: PlannedWebhook, at_seconds: float) -> None:
        await asyncio.sleep(at_seconds)
        patience, retry = planned.hangs_up_seconds or _PATIENCE_SECONDS, _RETRY_SECONDS
        tries = 0
        while not await self._try(planned, patience) and not planned.is_forged:
            tries += 1
            if tries == planned.tries:
                return
            await asyncio.sleep(retry)
            patience, retry = _PATIENCE_SECONDS, min(2 * retry, _LONGEST_RETRY_SECONDS)

    async def _try(self, planned: PlannedWebhook, patience_seconds: float) -> bool:
        """Send a webhook once; return whether it was acknowledged."""
        headers = sign(_FORGER if planned.is_forged else SECRET, planned.id, int(time.time()), planned.body)
        self.sent.add(planned.id)
        try:
            async with asyncio.timeout(patience_seconds):
                status, body = await _post(self.url, headers, planned.body)
        except (NoAnswerError, OSError) as error:  # TimeoutError is an OSError
            self.tries[type(error).__name__] += 1
            return False
        self.tries[str(status)] += 1
        if 200 <= status < 300:
            self.acknowledged[planned.id] = json.loads(body)["disposition"]
        return 200 <= status < 300


async def _post(url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """Return status and body of the answer; when cancelled, close the connection at once."""
    target, loop = urlsplit(url), asyncio.get_running_loop()
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = [f"POST {target.path} HTTP/1.1", f"Host: {target.netloc}", f"Content-Length: {len(body)}", *lines]
    answer = b""
    with (
        socket.socket() as wire
    ):  # a stream that is cancelled while it connects is left to the garbage collector
        wire.setblocking(False)
        await loop.sock_connect(wire, (str(target.hostname), target.port))
        await loop.sock_sendall(wire, "\r\n".join([*head, "Connection: close", "", ""]).encode() + body)
        while part := await loop.sock_recv(wire, 65_536):
            answer += part
    start, _, rest = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", start)
    if length is None or len(rest) < int(length[1]):
        raise NoAnswerError
    return int(start.split()[1]), rest
