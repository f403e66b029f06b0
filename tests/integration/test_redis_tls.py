"""Redis behind TLS: its certificate is checked, by a CA of the user's own if need be, or not at all."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.redis_urls import RedisOptions
from tests.support.cli_session import NOWHERE
from tests.support.paths import CERTIFICATES
from tests.support.processes import Credits, credits_in
from tests.support.real_stores import check_readiness
from tests.support.redis_servers import behind_tls, own_redis, self_signed
from workers.errors import StoreUnavailableError
from workers.store.connect import connect
from workers.store.server_check import redis_findings

OURS = CERTIFICATES / "ca.pem"

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl makes the certificate, and is not installed"
)


@dataclass(frozen=True, kw_only=True)
class Tls:
    """A server with a certificate of our CA, and the same with one that nobody signed, for another host."""

    signed: str
    self_signed: str
    certificate: Path


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    folder = tmp_path_factory.mktemp("tls")
    certificate = self_signed(folder)
    with (
        own_redis(folder) as server,
        behind_tls(server) as signed,
        behind_tls(server, certificate) as other,
    ):
        yield Tls(
            signed=f"rediss://localhost:{signed}/0",
            self_signed=f"rediss://localhost:{other}/0",
            certificate=certificate,
        )


def findings(url: str, options: RedisOptions) -> list[str]:
    """Return the problems that a worker has with a server; a receiver has one exactly if a worker has."""
    with connect(url, options, timeout_seconds=2) as redis:
        found = [one.detail for one in redis_findings(redis)]
    if found:
        with pytest.raises(StoreUnavailableError):
            check_readiness(url, options)
    else:
        check_readiness(url, options)
    return found


def test_a_ca_of_the_users_own_is_named_by_the_setting_or_in_the_url(tls: Tls) -> None:
    assert findings(tls.signed, RedisOptions(ca=OURS)) == []
    assert findings(f"{tls.signed}?ssl_ca_certs={OURS}", RedisOptions()) == []


def test_an_untrusted_certificate_is_refused_and_the_error_says_how_to_name_its_ca(tls: Tls) -> None:
    (detail,) = findings(tls.signed, RedisOptions())
    assert "its certificate is not trusted" in detail
    assert "CREDITS_REDIS_CA" in detail


def test_a_certificate_of_the_users_ca_for_another_host_is_refused(tls: Tls) -> None:
    assert len(findings(tls.self_signed, RedisOptions(ca=tls.certificate))) == 1


def test_with_verify_none_any_certificate_will_do(tls: Tls) -> None:
    assert len(findings(tls.self_signed, RedisOptions())) == 1
    assert findings(tls.self_signed, RedisOptions(verifies_tls=False)) == []


def credits_at(url: str, folder: Path, **settings: str) -> Credits:
    return credits_in(folder, NOWHERE, REDIS_URL=url, **settings)


def warnings_of_check(credits_: Credits) -> list[str]:
    printed = json.loads(credits_.run("check", "--offline", "--json").stdout)
    return [one["detail"] for one in printed if one["what"] == "redis" and one["level"] == "warning"]


def test_check_warns_of_what_is_not_checked_and_of_settings_without_effect(tls: Tls, tmp_path: Path) -> None:
    (warning,) = warnings_of_check(credits_at(tls.self_signed, tmp_path, CREDITS_REDIS_TLS_VERIFY="none"))
    assert "its certificate is not checked" in warning
    (warning,) = warnings_of_check(credits_at("redis://localhost:1/0", tmp_path, CREDITS_REDIS_CA=str(OURS)))
    assert "have no effect: REDIS_URL asks for no TLS" in warning
    assert warnings_of_check(credits_at(tls.signed, tmp_path, CREDITS_REDIS_CA=str(OURS))) == []


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("none.pem", "cannot be read: No such file or directory"),
        ("rules.yaml", "holds no certificates in PEM format"),
    ],
)
def test_a_ca_file_that_cannot_be_used_is_named_in_one_line(tmp_path: Path, file: str, problem: str) -> None:
    done = credits_at("rediss://h", tmp_path, CREDITS_REDIS_CA=str(tmp_path / file)).run("status")
    assert done.stderr == f"credits: CREDITS_REDIS_CA: {tmp_path / file} {problem}\n"
