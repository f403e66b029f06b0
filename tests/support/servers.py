"""Real servers for tests: an ASGI application under uvicorn on a port of its own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import uvicorn
from starlette.types import ASGIApp

_POLL_SECONDS = 0.01


def running(app: ASGIApp) -> AbstractContextManager[str]:
    """Serve ``app`` from a thread while the block runs; yields its base URL.

    A request that is still being answered at the end gets one second, then is cancelled.
    """
    # Logging is pytest's; a lifespan that fails is to be seen; web sockets are nobody's here.
    return running_as(
        uvicorn.Config(app, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=1)
    )


@contextmanager
def running_as(config: uvicorn.Config) -> Iterator[str]:
    """Serve from a thread as ``config`` says, likewise."""
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start; its log says why")
        time.sleep(_POLL_SECONDS)
