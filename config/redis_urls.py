"""Reads ``REDIS_URL``: which forms and options can be used, and what a URL of sentinels names."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from msgspec import Struct

MOST_CONNECTIONS = 20
"""How many connections to Redis a process opens at most, unless CREDITS_REDIS_CONNECTIONS says otherwise."""

# Options by which redis-py would answer in another form, or in another way, than our code relies on.
_FIXED_OPTIONS = {
    "connection_class",
    "connection_pool",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "max_connections",
    "protocol",
    "single_connection_client",
    "socket_timeout",
    "socket_connect_timeout",
    "timeout",
}
_OPTIONS_OF_SENTINELS = ("sentinel_username", "sentinel_password")
_FORMS = "write redis://host:6379/0, rediss://host:6379/0 or unix:///path"
_SENTINEL_FORM = "write redis+sentinel://host:26379,host:26379/<master name>/0"
_PERCENT_ENCODE = (
    "its password contains @, /, # or ? unencoded: percent-encode every character of the password that is "
    "not a letter or digit (@ is %40, / is %2F, # is %23, ? is %3F)"
)
_SENTINEL_PORT = 26379
_HIGHEST_PORT = 65535
_SENTINEL = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")


class RedisOptions(Struct, frozen=True, kw_only=True):
    """How to connect to the server of ``REDIS_URL``, as far as the URL does not say it."""

    ca: Path | None = None
    """The CAs that a server with TLS is checked against; None: the system's."""
    verifies_tls: bool = True
    connections: int = MOST_CONNECTIONS
    """How many connections a process opens at most."""


class SentinelUrl(Struct, frozen=True, kw_only=True):
    """What a URL ``redis+sentinel://user:password@host:port,host:port/<master name>/<db>`` names."""

    sentinels: tuple[tuple[str, int], ...]
    """Their hosts and ports."""
    master: str
    """The name by which the sentinels know the primary."""
    server_url: str
    """A ``redis://`` or ``rediss://`` URL with all that belongs to the primary, but for its host."""
    credentials: Mapping[str, str]
    """User and password of the sentinels themselves; empty if they want none."""


def check_redis_url(url: str) -> None:
    """Raise ValueError, without any piece of the URL but an option's name, if it cannot be used."""
    if _has_unencoded_password(url):
        raise ValueError(_PERCENT_ENCODE)
    if is_sentinel_url(url):
        read_sentinel_url(url)
    elif not url.startswith("unix:///") and not _is_server_url(url):
        raise ValueError(_FORMS)
    for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if name in _FIXED_OPTIONS:
            raise ValueError(f"remove its option {name}: the service sets that itself")


def is_sentinel_url(url: str) -> bool:
    """Return whether a URL names sentinels, which are asked where the primary is."""
    return url.startswith(("redis+sentinel://", "rediss+sentinel://"))


def uses_tls(url: str) -> bool:
    """Return whether a URL asks for TLS."""
    return url.startswith("rediss")


def accepts_any_certificate(url: str, options: RedisOptions) -> bool:
    """Return whether the setting, or the URL's own option, turns the check of the certificate off."""
    asked = dict(parse_qsl(urlsplit(url).query)).get("ssl_cert_reqs", "required")
    return uses_tls(url) and (not options.verifies_tls or asked != "required")


def read_sentinel_url(url: str) -> SentinelUrl:
    """Return what a URL of sentinels names; ValueError, without any piece of it, if it cannot be used."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its own message would show the password
        raise ValueError(_SENTINEL_FORM) from None
    user, at, hosts = parts.netloc.rpartition("@")
    _, name, *db = parts.path.rstrip("/").split("/") if parts.path.strip("/") else ("", "")
    if not name or len(db) > 1 or not all(one.isdecimal() for one in db) or parts.fragment:
        raise ValueError(_SENTINEL_FORM)
    options = parse_qsl(parts.query, keep_blank_values=True)
    rest = urlencode([(key, value) for key, value in options if key not in _OPTIONS_OF_SENTINELS])
    scheme = "rediss" if uses_tls(url) else "redis"
    return SentinelUrl(
        sentinels=tuple(_sentinels(hosts)),
        master=unquote(name),
        server_url=f"{scheme}://{user}{at}sentinels/{''.join(db) or 0}{'?' if rest else ''}{rest}",
        credentials={
            key.removeprefix("sentinel_"): value for key, value in options if key in _OPTIONS_OF_SENTINELS
        },
    )


def _sentinels(hosts: str) -> Iterator[tuple[str, int]]:
    for one in hosts.split(","):
        found = _SENTINEL.fullmatch(one)
        if found is None or not 0 < int(found[2] or _SENTINEL_PORT) <= _HIGHEST_PORT:
            raise ValueError(_SENTINEL_FORM)
        yield found[1].strip("[]"), int(found[2] or _SENTINEL_PORT)


def _has_unencoded_password(url: str) -> bool:
    """Return whether a password's own ``/``, ``#`` or ``?`` ended the host part: an ``@`` follows it."""
    if url.startswith("unix:///"):
        return False
    after_scheme = url.partition("://")[2]
    host_part = re.split(r"[/?#]", after_scheme, maxsplit=1)[0]
    return "@" in after_scheme[len(host_part) :] or host_part.count("@") > 1


def _is_server_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
