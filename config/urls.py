"""Checks the URLs among the settings: Polar's server, our own, and where alerts are posted."""

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

POLAR_SERVERS: Mapping[str, str] = {
    "production": "https://api.polar.sh",
    "sandbox": "https://sandbox-api.polar.sh",
}

WEBHOOKS_PATH = "/webhooks/polar"


_LOCAL_HOSTS = {"localhost", "127.0.0.1", "0.0.0.0", "::1"}  # noqa: S104 - nothing listens there


def read_polar_url(value: str) -> str:
    """Return the base URL of a Polar server that is named or given by its URL; ValueError if unusable."""
    url = POLAR_SERVERS.get(value, value)
    if not _is_http(url) or any(mark in url for mark in "@?#"):
        raise ValueError("write production, sandbox, or a base URL such as http://127.0.0.1:9000")
    return url.rstrip("/")


def read_public_url(value: str) -> str:
    """Return the base URL at which Polar reaches the receiver, without the webhooks' own path."""
    url = value.strip().rstrip("/").removesuffix(WEBHOOKS_PATH).rstrip("/")
    if not _is_http(url) or any(mark in url for mark in "@?# "):
        raise ValueError("write the URL at which Polar reaches the receiver: https://credits.example.com")
    parts = urlsplit(url)  # Polar keeps scheme and host in lower case
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower()).geturl()


def read_endpoint_base(value: str) -> str:
    """Return a public URL to which Polar sends webhooks; ValueError says what Polar refuses about another."""
    url = read_public_url(value)
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in _LOCAL_HOSTS or host.endswith(".localhost"):
        raise ValueError(
            f"Polar cannot reach {host}: start a tunnel, such as cloudflared tunnel --url "
            "http://localhost:8000, and give the https:// URL that it prints"
        )
    if parts.scheme != "https":
        raise ValueError(
            "Polar sends webhooks only to https:// URLs: put a proxy or a tunnel with TLS in front"
        )
    return url


def read_alert_url(text: str) -> str:
    """Return the URL to which alerts are posted; ValueError, without any piece of it, if unusable."""
    url = text.strip()
    if not _can_be_posted_to(url):
        raise ValueError(
            "write an http:// or https:// URL without user and password, such as the one that Slack or "
            "Discord gives for an incoming webhook"
        )
    return url


def read_storefront_url(text: str) -> str:
    """Return the URL to which credit events are sent; ValueError, without any piece of it, if unusable."""
    url = text.strip()
    if not _can_be_posted_to(url):
        raise ValueError(
            "write an http:// or https:// URL without user and password, such as "
            "https://shop.example.com/credit-events"
        )
    return url


def _can_be_posted_to(url: str) -> bool:
    return _is_http(url) and "@" not in url and " " not in url and url.isascii() and url.isprintable()


def _is_http(url: str) -> bool:
    parts = _parts(url)
    return parts is not None and parts.scheme in {"http", "https"} and _is_host(parts.hostname or "")


def _is_host(name: str) -> bool:
    """Return whether ``name`` is an IPv6 address or a valid host name."""
    label = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
    return ":" in name or re.fullmatch(rf"{label}(\.{label})*\.?", name) is not None


def _parts(url: str) -> SplitResult | None:
    """Return the parts of an HTTP URL, or None if its host or port is unusable."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None
