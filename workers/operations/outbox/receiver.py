"""Posts a credit event to the storefront, signed by Standard Webhooks."""

import string
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote

import httpx
from standardwebhooks.webhooks import Webhook

from config.errors import ConfigError
from workers.core.credit_events import CreditEvent
from workers.polar.transport import DeadlineTransport

# A header takes visible ASCII alone; a meter's name, at the end of a grant's key, may have other characters.
_VISIBLE = "".join(set(string.punctuation) - {"%"})

# Nobody reads what the storefront answers. So much of it is taken, so that the connection can be used again.
_MOST_ANSWER_BYTES = 65_536


class Storefront(Protocol):
    """Takes credit events."""

    def post(self, event: CreditEvent) -> str:
        """Send an event once; return why the storefront did not take it, or an empty text."""
        ...


class StorefrontReceiver:
    """The storefront's receiver of credit events at ``url``. Threads may share it.

    Makes no request but this one, so that no log of httpx shows the URL, which may contain a secret.
    """

    def __init__(self, *, url: str, secret: str, seconds: float) -> None:
        self._url = url
        self._secret = secret
        self._transport = DeadlineTransport(url, seconds=seconds, most_bytes=_MOST_ANSWER_BYTES)

    def post(self, event: CreditEvent) -> str:
        """Send an event once, within the deadline; follow no redirect."""
        request = httpx.Request(
            "POST", self._url, content=event.body, headers=event_headers(self._secret, event)
        )
        try:
            answer = self._transport.handle_request(request)
        except ConfigError as error:
            return str(error)  # it names a variable of the environment, not the URL
        except httpx.HTTPError as error:
            return f"no answer: {type(error).__name__}"  # its own text may show the URL
        hint = " (redirects are not followed)" if answer.is_redirect else ""
        return "" if answer.is_success else f"answered {answer.status_code}{hint}"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def event_headers(secret: str, event: CreditEvent) -> dict[str, str]:
    """Return the headers with which an event is sent now, signed with ``secret``."""
    now, webhook_id = datetime.now(UTC), quote(event.id, safe=_VISIBLE)
    return {
        "Content-Type": "application/json",
        "User-Agent": "credit-granter",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, now, event.body.decode()),
    }
