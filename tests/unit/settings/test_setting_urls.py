"""The URLs among the settings: which forms work, and that no refusal shows a password."""

import re

import pytest

from app.cli.output import store_name
from config.redis_urls import RedisOptions, accepts_any_certificate, read_sentinel_url
from config.urls import read_endpoint_base
from tests.support.environment import problem_with, settings_with


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("production", "https://api.polar.sh"),
        ("sandbox", "https://sandbox-api.polar.sh"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("https://billing.example.com/polar/", "https://billing.example.com/polar"),
    ],
)
def test_a_polar_server_is_named_or_given_by_its_url(
    monkeypatch: pytest.MonkeyPatch, value: str, url: str
) -> None:
    assert settings_with(monkeypatch, POLAR_SERVER=value).polar_url == url


FORMS = [
    "redis://h:6379/1",
    "rediss://:pw@h",
    "unix:///run/redis.sock",
    "redis+sentinel://h:26379/shop",
    "rediss+sentinel://me:pw@h:26379,[::1]:26380,h3/my%20shop/2?sentinel_password=x",
]


@pytest.mark.parametrize("url", FORMS)
def test_every_form_of_redis_url_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert settings_with(monkeypatch, REDIS_URL=url).require_redis_url() == url


@pytest.mark.parametrize(
    "url",
    [
        "http://:s3cret@host",
        "redis://:s3cret\u2100@host:6379",
        "redis://:s3cret/more@host:6379",
        "redis://:s3cret#more@host:6379",
        "redis://:s3cret?more@host:6379",
        "redis+sentinel://:s3cret@host:26379",
        "redis+sentinel://:s3cret@host:26379/",
        "redis+sentinel://:s3cret@host:26379/shop/s3cret",
        "redis+sentinel://:s3cret@host:26379/shop/0/s3cret",
        "redis+sentinel://:s3cret@host:26379,/shop",
        "redis+sentinel://:s3cret@host:99999/shop",
        "redis+sentinel://:s3cret@host:0/shop",
        "redis+sentinel://:s3cret\u2100@host:26379/shop",
        "redis+sentinel://:s3cret@ho st/shop",
        "redis+sentinel://:s3cret@host/shop#s3cret",
        "redis+tls://:s3cret@host:6379/0",
    ],
)
def test_a_redis_url_that_cannot_be_used_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """People type passwords with an unescaped ``/``, ``#`` or ``?``, which ends the host part of the URL."""
    problem = problem_with(monkeypatch, REDIS_URL=url)
    assert problem.startswith("REDIS_URL: ")
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p@ss/w0rd@host",
        "redis://:p@ss@host",
        "redis://:p#w0rd@host",
        "redis+sentinel://:p@ss/w0rd@host:26379/shop",
        "redis+sentinel://:p@host:26379/shop?sentinel_password=w@rd",
    ],
)
def test_an_unencoded_password_is_named_and_no_piece_of_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    problem = problem_with(monkeypatch, REDIS_URL=url)
    assert "percent-encode" in problem
    assert "w0rd" not in problem
    assert "host" not in problem


@pytest.mark.parametrize(
    "option",
    ["decode_responses=True", "max_connections=1", "protocol=3", "encoding=latin-1", "socket_timeout=1"],
)
@pytest.mark.parametrize("url", ["redis://h/0", "unix:///run/redis.sock", "redis+sentinel://h:26379/shop"])
def test_an_option_that_the_service_relies_on_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, url: str, option: str
) -> None:
    problem = problem_with(monkeypatch, REDIS_URL=f"{url}?{option}")
    assert problem == f"REDIS_URL: remove its option {option.partition('=')[0]}: the service sets that itself"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:s3cret@h:6379/1?ssl_ca_certs=/x", "REDIS_URL, redis://h:6379/1"),
        ("rediss://:s3%40cret@h", "REDIS_URL, rediss://h"),
        (
            "redis+sentinel://me:s3cret@h:26379,i:26379/shop/1?sentinel_password=s3cret",
            "REDIS_URL, redis+sentinel://h:26379,i:26379/shop/1",
        ),
        ("unix:///run/redis.sock?password=s3cret", "REDIS_URL, unix:///run/redis.sock"),
    ],
)
def test_the_store_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, shown: str
) -> None:
    assert store_name(settings_with(monkeypatch, REDIS_URL=url)) == shown


def test_a_url_of_sentinels_names_them_the_primary_and_both_credentials() -> None:
    found = read_sentinel_url(
        "rediss+sentinel://me:p%40ss@one:26379,[::1]:26380,three/my%20shop/2"
        "?sentinel_username=guard&sentinel_password=s%26t&health_check_interval=3"
    )
    assert found.sentinels == (("one", 26379), ("::1", 26380), ("three", 26379))
    assert found.master == "my shop"
    assert found.credentials == {"username": "guard", "password": "s&t"}
    assert found.server_url == "rediss://me:p%40ss@sentinels/2?health_check_interval=3"


def test_a_url_of_sentinels_without_a_database_means_the_first() -> None:
    assert read_sentinel_url("redis+sentinel://one:26379/shop").server_url == "redis://sentinels/0"


@pytest.mark.parametrize(
    ("url", "options", "accepts"),
    [
        ("rediss://h", RedisOptions(), False),
        ("rediss://h", RedisOptions(verifies_tls=False), True),
        ("rediss://h?ssl_cert_reqs=none", RedisOptions(), True),
        ("rediss+sentinel://h:1/shop", RedisOptions(verifies_tls=False), True),
        ("redis://h", RedisOptions(verifies_tls=False), False),
    ],
)
def test_it_is_known_which_settings_accept_any_certificate(
    url: str, options: RedisOptions, accepts: bool
) -> None:
    assert accepts_any_certificate(url, options) is accepts


def test_a_polar_url_with_a_password_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3cret" not in problem_with(monkeypatch, POLAR_SERVER="http://me:s3cret\u2100@host")


@pytest.mark.parametrize("url", ["https://chat.example.com/services/T0/B0/x", "http://[::1]:8080/hook?key=1"])
def test_an_alert_url_may_come_from_a_file_with_a_newline(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    found = settings_with(monkeypatch, CREDITS_ALERT_URL=f"{url}\n").alert_url
    assert found is not None
    assert found.reveal() == url


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "chat.example.com/s3cret",
        "ftp://chat.example.com/s3cret",
        "redis://chat.example.com/s3cret",
        "file:///etc/s3cret",
        "https:///s3cret",
        "https://chat.example.com:99999/s3cret",
        "https://me:s3cret@chat.example.com/",
        "https://chat.example.com/s3 cret/s3cret",
        "https://chat.example.com/s3cret\r\nX: y",
        "https://chat.example.com/s3cret\u20ac",
    ],
)
def test_an_alert_url_that_cannot_be_used_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    problem = problem_with(monkeypatch, CREDITS_ALERT_URL=url)
    assert problem.startswith("CREDITS_ALERT_URL: write an http:// or https:// URL")
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://credits.example.com", "https://credits.example.com"),
        (" HTTPS://Credits.Example.COM/ ", "https://credits.example.com"),
        ("https://example.com/Credits/webhooks/polar/", "https://example.com/Credits"),
        ("https://example.com:8443", "https://example.com:8443"),
    ],
)
def test_a_public_url_is_compared_in_polars_spelling(
    monkeypatch: pytest.MonkeyPatch, value: str, url: str
) -> None:
    assert settings_with(monkeypatch, CREDITS_PUBLIC_URL=value).public_url == url
    assert read_endpoint_base(value) == url


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("http://credits.example.com", "only to https:// URLs"),
        ("http://localhost:8000", "start a tunnel, such as cloudflared tunnel --url http://localhost:8000"),
        ("https://127.0.0.1", "Polar cannot reach 127.0.0.1"),
        ("https://[::1]:8000", "Polar cannot reach ::1"),
        ("https://credits.localhost", "Polar cannot reach credits.localhost"),
        ("credits.example.com", "write the URL at which Polar reaches the receiver"),
        ("https://", "write the URL at which Polar reaches the receiver"),
    ],
)
def test_a_url_to_which_polar_sends_nothing_is_refused_with_what_to_do(value: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_endpoint_base(value)
