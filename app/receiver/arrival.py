"""A webhook's request while it is read and answered."""

import asyncio
from typing import ClassVar


class Arrival:
    """A webhook that may arrive whole. It replaces uvicorn's cycle, which costs as much as parsing.

    uvicorn treats it as the connection's cycle when the client leaves and when the server stops.
    """

    __slots__ = ("body", "disconnected", "headers", "is_whole", "keep_alive", "response_complete")

    message_event: ClassVar = asyncio.Event()  # nobody waits for it
    response_started: ClassVar = False  # the answer is written at once

    def __init__(self, headers: list[tuple[bytes, bytes]], *, keep_alive: bool) -> None:
        """Begin with the headers, which were read whole."""
        self.headers = headers
        self.body = b""
        self.keep_alive = keep_alive
        self.is_whole = self.disconnected = self.response_complete = False
