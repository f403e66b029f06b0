"""Reads the webhooks and responses that were recorded from a real Polar server."""

import json
from typing import Any

from tests.support.paths import ROOT

PAYLOADS = ROOT / "tests" / "payloads"
RESPONSES = ROOT / "tests" / "responses"


def payload(name: str) -> bytes:
    """Return the recorded body of a webhook, byte for byte."""
    return (PAYLOADS / f"{name}.json").read_bytes()


def recorded(name: str) -> dict[str, Any]:
    """Return a recorded ``request`` and the ``status``, ``headers`` and ``body`` of its response."""
    exchange: dict[str, Any] = json.loads((RESPONSES / f"{name}.json").read_bytes())
    return exchange
