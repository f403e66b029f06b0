"""What Redis and TLS say in words of their own is told with what it means and what to do."""

import shutil
from pathlib import Path

import pytest
from redis import Redis

from config.redis_urls import RedisOptions
from tests.support.cli_session import NOWHERE
from tests.support.processes import credits_in
from tests.support.redis_servers import behind_tls, free_port, on_a_wire, own_redis, self_signed
from tests.support.sentinels import watched_redis
from workers.store.connect import connect
from workers.store.server_check import redis_findings

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl makes the certificate, and is not installed"
)


def said_of(url: str, options: RedisOptions | None = None) -> str:
    """Return the one error that is found."""
    with connect(url, options or RedisOptions(), timeout_seconds=2) as redis:
        (found,) = redis_findings(redis)
    assert found.level == "error"
    return found.detail


@needs_openssl
def test_a_self_signed_certificate_is_named_with_both_settings(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, "DNS:localhost")
    with own_redis(tmp_path) as server, behind_tls(server, certificate) as port:
        detail = said_of(f"rediss://localhost:{port}/0")
    assert detail.startswith("its certificate is self-signed (")
    assert "CREDITS_REDIS_CA=" in detail
    assert "CREDITS_REDIS_TLS_VERIFY=none" in detail


@needs_openssl
@pytest.mark.parametrize(
    ("host", "names"), [("localhost", "DNS:other.example"), ("127.0.0.1", "DNS:localhost")]
)
def test_a_trusted_certificate_for_another_host_is_not_called_untrusted(
    tmp_path: Path, host: str, names: str
) -> None:
    certificate = self_signed(tmp_path, names)
    with own_redis(tmp_path) as server, behind_tls(server, certificate) as port:
        detail = said_of(f"rediss://{host}:{port}/0", RedisOptions(ca=certificate))
    assert detail.startswith("its certificate is for another host than the one that REDIS_URL names")
    assert "not trusted" not in detail


def test_too_many_clients_are_told_as_such(tmp_path: Path) -> None:
    port = free_port()
    with (
        own_redis(tmp_path, "--maxclients", "1", "--port", str(port)) as server,
        server.client() as first,
    ):
        first.ping()
        detail = said_of(f"redis://127.0.0.1:{port}/0")
    assert detail.startswith("it has as many clients as it allows (raise maxclients")


def test_tls_to_a_plain_port_and_the_other_way_round_are_told_as_such(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server, on_a_wire(server) as plain, behind_tls(server) as port:
        assert said_of(f"rediss://localhost:{plain.port}/0").startswith(
            "it does not speak TLS (write redis://"
        )
        assert said_of(f"redis://localhost:{port}/0").startswith("it speaks TLS (write rediss://")


@pytest.mark.parametrize("database", [0, 3])
def test_a_sentinels_port_is_told_with_the_url_to_write(tmp_path: Path, database: int) -> None:
    with watched_redis(tmp_path, sentinels=1, replicas=0) as watched:
        port = watched.sentinel_ports[0]
        url = f"redis://127.0.0.1:{port}/{database}"
        detail = said_of(url)
        assert detail == (
            "it is a Sentinel, which names the primary and stores nothing "
            f"(write REDIS_URL=redis+sentinel://127.0.0.1:{port}/shop/0)"
        )
        done = credits_in(tmp_path, NOWHERE, REDIS_URL=url, LOG_LEVEL="error").run("serve")
    assert done.stderr == f"credits: REDIS_URL: {detail}\n"


def test_a_server_that_hides_a_command_is_no_sentinel(tmp_path: Path) -> None:
    with (
        own_redis(tmp_path, "--rename-command", "EVALSHA", "") as server,
        Redis.from_url(server.url) as redis,
    ):
        assert "Sentinel" not in "".join(one.detail for one in redis_findings(redis))
