"""Serves ASGI applications for tests: uvicorn in a thread, on a free port."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import uvicorn
from starlette.types import ASGIApp

_POLL_SECONDS = 0.01


def running(app: ASGIApp) -> AbstractContextManager[str]:
    """Serve ``app`` from a thread while the block runs; yield its base URL.

    A request that is unfinished at the end gets one more second, then it is cancelled.
    """
    # pytest configures the logging; a failing lifespan must be seen; no application here has web sockets. The
    # stand-in for Polar dates its answers itself.
    return running_as(
        uvicorn.Config(
            app, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=1, date_header=False
        )
    )


@contextmanager
def running_as(config: uvicorn.Config) -> Iterator[str]:
    """Serve with the given configuration while the block runs; yield the base URL."""
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
