"""Answers that come after the client has given up."""

import asyncio

import httpx

from app.demo.polar import CommitThenWait, Polar, create_app
from tests.support.polar_standin import INGEST, TOKEN, event, ingest

NEVER_SECONDS = 3600.0  # longer than any test


def test_a_polar_that_commits_and_then_waits_has_the_events_while_its_client_still_waits(
    polar: Polar,
) -> None:
    polar.faults.append(CommitThenWait(NEVER_SECONDS))

    assert asyncio.run(is_unanswered_when_stored(polar))

    assert ingest(polar, event(external_id="key")).json() == {"inserted": 0, "duplicates": 1}


async def is_unanswered_when_stored(polar: Polar) -> bool:
    """Send an event and disconnect once it is stored; return whether there was no answer yet."""
    transport = httpx.ASGITransport(create_app(polar))
    async with httpx.AsyncClient(transport=transport, base_url="http://polar") as client:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        batch = {"events": [event(external_id="key")]}
        request = asyncio.ensure_future(client.post(INGEST, json=batch, headers=headers))
        while not polar.events:
            await asyncio.sleep(0)
        unanswered = not request.done()
        request.cancel()
        await asyncio.wait([request])
    return unanswered


def test_a_late_answer_is_the_true_one(polar: Polar) -> None:
    polar.faults.append(CommitThenWait(0))

    assert ingest(polar, event(external_id="key")).json() == {"inserted": 1, "duplicates": 0}
