"""Webhooks and responses that a running Polar server really sent."""

from tests.support.paths import ROOT

PAYLOADS = ROOT / "tests" / "payloads"
RESPONSES = ROOT / "tests" / "responses"


def payload(name: str) -> bytes:
    """Return the body of a webhook, byte for byte."""
    return (PAYLOADS / f"{name}.json").read_bytes()
