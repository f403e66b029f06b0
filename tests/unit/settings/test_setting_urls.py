"""The URLs among the settings: which forms work, and that no refusal shows a password."""

import pytest

from app.cli.output import store_name
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


@pytest.mark.parametrize("url", ["redis://h:6379/1", "rediss://:pw@h", "unix:///run/redis.sock"])
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
    ],
)
def test_a_redis_url_that_cannot_be_used_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """People type passwords with an unescaped ``/``, ``#`` or ``?``, which ends the host part of the URL."""
    problem = problem_with(monkeypatch, REDIS_URL=url)
    assert problem.startswith("REDIS_URL: ")
    assert "s3cret" not in problem


@pytest.mark.parametrize("url", ["redis://:p@ss/w0rd@host", "redis://:p@ss@host", "redis://:p#w0rd@host"])
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
@pytest.mark.parametrize("url", ["redis://h/0", "unix:///run/redis.sock"])
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
        ("unix:///run/redis.sock?password=s3cret", "REDIS_URL, unix:///run/redis.sock"),
    ],
)
def test_the_store_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, shown: str
) -> None:
    assert store_name(settings_with(monkeypatch, REDIS_URL=url)) == shown


def test_a_polar_url_with_a_password_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3cret" not in problem_with(monkeypatch, POLAR_SERVER="http://me:s3cret\u2100@host")


@pytest.mark.parametrize("url", ["https://chat.example.com/services/T0/B0/x", "http://[::1]:8080/hook?key=1"])
def test_an_alert_url_may_come_from_a_file_with_a_newline(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    found = settings_with(monkeypatch, CREDITS_ALERT_URL=f"{url}\n").alert_url
    assert found is not None
    assert found.get_secret_value() == url


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
