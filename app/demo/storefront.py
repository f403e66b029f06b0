"""A tiny storefront: receives credit events over HTTP, and keeps those whose signature is right."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

_PATH = "/credit-events"


class Storefront(ThreadingHTTPServer):
    """The server, and the events that it has taken, by their ids."""

    daemon_threads = True

    def __init__(self, secret: str) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.webhook = Webhook(secret)
        self.events: dict[str, dict[str, Any]] = {}

    @property
    def url(self) -> str:
        """Return where it receives events."""
        return f"http://127.0.0.1:{self.server_port}{_PATH}"


class _Receiver(BaseHTTPRequestHandler):
    server: Storefront

    def do_POST(self) -> None:
        """Verify an event as the documentation says, and keep it."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            self.server.webhook.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError):
            self.send_response(HTTPStatus.FORBIDDEN)
        else:
            self.server.events[self.headers["webhook-id"]] = json.loads(body)
            self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing: the demo shows what arrived."""


@contextmanager
def start_storefront(secret: str) -> Iterator[Storefront]:
    """Run the storefront on a free port while the block runs."""
    with Storefront(secret) as storefront:
        threading.Thread(target=storefront.serve_forever, daemon=True).start()
        try:
            yield storefront
        finally:
            storefront.shutdown()
