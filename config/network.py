"""Finds the proxy and the certificates that the environment names, for requests that we send.

The variables are those that most programs respect. A tool may have set them without the user's knowledge, so
an entry of NO_PROXY that means nothing to us is ignored, and any other mistake is named in one line.
"""

import os
import re
import ssl
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from config.errors import ConfigError

_SCHEMES = ("http", "https", "socks5", "socks5h")


def find_proxy(url: str) -> str | None:
    """Return the URL of the proxy for requests to ``url``, or None; ConfigError if it cannot be used."""
    target = urlsplit(url)
    name = next(filter(os.environ.get, _variables(target.scheme)), None)
    if name is None or _is_excluded(target.hostname or ""):
        return None
    given = os.environ[name].strip()
    proxy = given if "://" in given else f"http://{given}"
    if problem := _proxy_problem(proxy):
        raise ConfigError(f"{name}: {problem}")
    return proxy


def require_usable_network(url: str) -> None:
    """Raise ConfigError if a proxy or certificates are named for requests to ``url`` that cannot be used."""
    find_proxy(url)
    if _certificates():
        ssl_context()


def ssl_context() -> ssl.SSLContext:
    """Return a context that trusts the CAs of SSL_CERT_FILE or SSL_CERT_DIR, or else the usual ones.

    ConfigError if one of them is set and cannot be used.
    """
    import httpx  # noqa: PLC0415 - large, and whoever sends requests has imported it

    name = _certificates()
    path = os.environ[name] if name else ""
    if name and not os.access(path, os.R_OK):
        raise ConfigError(f"{name}: {path} cannot be read: correct it, or unset it")
    try:
        return httpx.create_ssl_context()
    except (ssl.SSLError, OSError):
        raise ConfigError(f"{name}: {path} holds no certificates in PEM format") from None


def _certificates() -> str | None:
    """Return the variable that names certificates."""
    return next(filter(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")), None)


def _variables(scheme: str) -> Iterator[str]:
    for name in (f"{scheme}_proxy", "all_proxy"):
        yield from (name, name.upper())


def _is_excluded(host: str) -> bool:
    """Return whether NO_PROXY names the host: by its name, that of a domain above, its address or network."""
    entries = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return any(_excludes(entry, host) for entry in re.split(r"[\s,]+", entries.lower()) if entry)


def _excludes(entry: str, host: str) -> bool:
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:  # the host or the entry is a name
        name = entry.partition(":")[0].removeprefix("*").removeprefix(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))


def _proxy_problem(url: str) -> str:
    """Return why a proxy's URL cannot be used, without any piece of it; empty if it can."""
    import httpx  # noqa: PLC0415 - large, and few environments name a proxy

    try:
        parts, port = httpx.URL(url), urlsplit(url).port  # each finds mistakes that the other one overlooks
    except (httpx.InvalidURL, ValueError):
        parts, port = httpx.URL(), None
    if not parts.host or port == 0 or parts.scheme not in _SCHEMES:
        return "it is not the URL of a proxy: write http://host:port, or unset it"
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        return "a SOCKS proxy needs the package socksio: install it, or name an HTTP proxy"
    return ""
