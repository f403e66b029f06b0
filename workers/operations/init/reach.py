"""Looks whether a public URL leads to the receiver yet."""

from collections.abc import Iterator

import httpx

from workers.core.findings import Finding
from workers.polar.transport import DeadlineTransport

_SECONDS = 5.0


def check_reach(public_url: str | None) -> Iterator[Finding]:
    """Yield a warning if no receiver answers at its public URL, as seen from here: it may not run yet."""
    if public_url is None:
        return
    url = f"{public_url}/livez"
    try:
        with httpx.Client(transport=DeadlineTransport(public_url, seconds=_SECONDS)) as client:
            status = client.get(url).status_code
    except httpx.HTTPError as error:
        problem = f"cannot be reached from here ({type(error).__name__})"
    else:
        problem = "" if status == httpx.codes.OK else f"answers {status}"
    if problem:
        detail = f"{url} {problem}: start the service, and the tunnel or proxy that leads to it"
        yield Finding(level="warning", what="public URL", detail=detail)
