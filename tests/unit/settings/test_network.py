"""Proxies and certificates in the environment: which apply, and what is said of unusable ones."""

import os
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import ConfigError
from config.network import find_proxy, ssl_context

POLAR = "https://api.polar.sh"
CA = Path(__file__).parents[2] / "tls" / "ca.pem"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)


def test_without_a_variable_there_is_no_proxy() -> None:
    assert find_proxy(POLAR) is None


@pytest.mark.parametrize(
    ("name", "value", "proxy"),
    [
        ("HTTPS_PROXY", "http://proxy:3128", "http://proxy:3128"),
        ("https_proxy", "http://me:s3cret@proxy:3128", "http://me:s3cret@proxy:3128"),
        ("ALL_PROXY", "https://proxy", "https://proxy"),
        ("all_proxy", "proxy:3128", "http://proxy:3128"),
        ("HTTPS_PROXY", "http://[::1]:3128", "http://[::1]:3128"),
        ("HTTP_PROXY", "http://for-plain-http-alone:1", None),
    ],
)
def test_the_proxy_of_the_scheme_is_used(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, proxy: str | None
) -> None:
    monkeypatch.setenv(name, value)
    assert find_proxy(POLAR) == proxy


@pytest.mark.parametrize(
    ("excluded", "url", "is_direct"),
    [
        ("localhost,::1,fd07:b51a:cc66:f0::/64", "http://127.0.0.1:9000", False),
        ("localhost,::1,fd07:b51a:cc66:f0::/64", "http://[fd07:b51a:cc66:f0::7]", True),
        ("10.0.0.0/8, 127.0.0.0/8", "http://127.0.0.1:9000", True),
        ("[::1]", "http://[::1]:9000", True),
        ("polar.sh", "http://api.polar.sh", True),
        (".polar.sh", "http://api.polar.sh", True),
        ("*.polar.sh", "http://api.polar.sh", True),
        ("api.polar.sh:443", "http://api.polar.sh", True),
        ("olar.sh", "http://api.polar.sh", False),
        ("API.POLAR.SH", "http://api.polar.sh", True),
        ("*", "http://api.polar.sh", True),
        ("10.0.0.0/99 %% ,, 300.1.1.1/8", "http://api.polar.sh", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_has_names_addresses_and_networks(
    monkeypatch: pytest.MonkeyPatch, name: str, excluded: str, url: str, is_direct: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv(name, excluded)
    assert (find_proxy(url) is None) is is_direct


@pytest.mark.parametrize(
    "value",
    ["http://s3cret:port", "http://me:s3cret@", "ftp://s3cret:1", "http://s3cret:99999", "http://[s3cret"],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConfigError, match=r"^HTTPS_PROXY: it is not the URL of a proxy: write") as caught:
        find_proxy(POLAR)
    assert "s3cret" not in str(caught.value)


def test_certificates_of_the_users_own_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = len(ssl_context().get_ca_certs())
    monkeypatch.setenv("SSL_CERT_FILE", str(CA))
    assert len(ssl_context().get_ca_certs()) == 1 < usual


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/nowhere/ca.pem")
    with pytest.raises(
        ConfigError, match=f"^{name}: /nowhere/ca.pem cannot be read: correct it, or unset it$"
    ):
        ssl_context()


def test_a_file_without_certificates_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not PEM")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(ConfigError, match=r"ca\.pem holds no certificates in PEM format$"):
        ssl_context()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    proxy=st.text(st.sampled_from("htps:/@[]%.,0a9-_ é"), min_size=1, max_size=20),
    excluded=st.text(st.sampled_from("*./:[]%,0a9f-_ é"), max_size=20),
)
def test_whatever_is_set_either_works_or_is_refused(
    monkeypatch: pytest.MonkeyPatch, proxy: str, excluded: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", excluded)
    with suppress(ConfigError):
        found = find_proxy(POLAR)
        assert found is None or httpx.Proxy(found).url.host
