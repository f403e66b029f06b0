"""The settings: valid values, and the messages for invalid ones."""

from dataclasses import FrozenInstanceError, asdict, fields
from datetime import timedelta
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.settings import (
    SETTING_NAMES,
    Settings,
    load_receiver_settings,
    load_settings,
)
from tests.support.environment import VARIABLES, problem_with, settings_with
from workers.runtime.polar import polar_for

OLD, NEW = "whsec_0123456789abcdef", "polar_whs_fedcba9876543210"


def test_nothing_needs_to_be_set_to_look_around() -> None:
    settings = load_settings()
    assert settings.polar_url == "https://api.polar.sh"
    assert settings.rules_path == Path("config/rules.yaml")
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.log_format, settings.log_level) == (None, "info")
    assert settings.retain == timedelta(days=30)
    assert settings.reconcile_set is None
    assert settings.forget_deleted is False
    assert settings.redis_url is settings.access_token is settings.ops_token is settings.alert_url is None
    assert settings.data_dir.is_absolute()


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    unset = load_settings()
    assert settings_with(monkeypatch, **dict.fromkeys(VARIABLES, "")) == unset


OTHER_NAMES = {one.name.upper() for one in fields(Settings)} - set(SETTING_NAMES)


@pytest.mark.parametrize("name", sorted(OTHER_NAMES))
def test_a_setting_is_read_by_its_documented_name_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """ACCESS_TOKEN or DATA_DIR belong to other programs."""
    unset = load_settings()
    assert settings_with(monkeypatch, **{name: "x"}) == unset


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        (OLD, (OLD,)),
        (f"{OLD},{NEW}", (OLD, NEW)),
        (f" {OLD} , {NEW} ,", (OLD, NEW)),
        (f"{OLD}\n", (OLD,)),
        (f"v1,{OLD}", (OLD,)),
        (f"v1,{OLD},v1,{NEW}", (OLD, NEW)),
    ],
)
def test_several_secrets_are_in_force_while_one_is_rotated(
    monkeypatch: pytest.MonkeyPatch, value: str, secrets: tuple[str, ...]
) -> None:
    assert settings_with(monkeypatch, POLAR_WEBHOOK_SECRET=value).require_secrets() == secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POLAR_SERVER", "staging"),
        ("POLAR_SERVER", "api.polar.sh"),
        ("POLAR_SERVER", "ftp://api.polar.sh"),
        ("POLAR_SERVER", "http://"),
        ("POLAR_SERVER", "http://host:notaport"),
        ("POLAR_SERVER", "http://[::1"),
        ("POLAR_SERVER", "http://a..b"),
        ("POLAR_SERVER", "http://xn--"),
        ("POLAR_SERVER", "http://polar.sh\x7f"),
        ("POLAR_SERVER", "http://" + "a" * 64),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://[::1"),
        ("REDIS_URL", "redis://host:99999"),
        ("HOST", "[::1"),
        ("HOST", "::1]"),
        ("CREDITS_API_PORT", "http"),
        ("CREDITS_API_TOKEN", "too-short"),
        ("CREDITS_API_TOKEN", "long-enough-for-us,short"),
        ("CREDITS_EVENTS_URL", "shop.example.com/events"),
        ("CREDITS_EVENTS_URL", "ftp://shop.example.com"),
        ("CREDITS_EVENTS_URL", "https://me:s3cret@shop.example.com"),
        ("CREDITS_EVENTS_SECRET", "whsec_not base64"),
        ("CREDITS_EVENTS_SECRET", "whsec_only-for-the-tests"),
        ("CREDITS_EVENTS_SECRET", "whsec_c2hvcnQ="),
        ("CREDITS_EVENTS_SECRET", "'whsec_c3RvcmVmcm9udC1hbmQtZ3JhbnRlcg=='"),
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("CREDITS_RECONCILE_EVERY", "often"),
        ("CREDITS_RECONCILE_EVERY", "31d"),
        ("CREDITS_FORGET_DELETED", "sometimes"),
        ("CREDITS_RETAIN", "30"),
        ("CREDITS_RETAIN", "0d"),
        ("CREDITS_RETAIN", "-1d"),
        ("CREDITS_RETAIN", "forever"),
        ("CREDITS_RETAIN", "999999999w"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    problem = problem_with(monkeypatch, **{name: value})
    assert problem.startswith(f"{name}: ")
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "eighty", "'eighty' is not a port: write a number from 0 to 65535"),
        ("PORT", "65536", "'65536' is not a port: write a number from 0 to 65535"),
        ("LOG_LEVEL", "loud", "'loud' is not debug, info, warning or error"),
        ("LOG_FORMAT", "xml", "'xml' is not console or json"),
        ("CREDITS_POLAR_REQUESTS_PER_MINUTE", "1", "'1' is not a whole number from 2 to 100000"),
        ("CREDITS_REDIS_CONNECTIONS", "3", "'3' is not a whole number from 4 to 1000"),
        ("CREDITS_REDIS_TLS_VERIFY", "off", "'off' is not full or none"),
    ],
)
def test_what_is_no_secret_is_shown_beside_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    assert problem_with(monkeypatch, **{name: value}) == f"{name}: {words}"


@pytest.mark.parametrize(
    ("value", "with_credit_from", "without"),
    [
        (None, timedelta(hours=6), None),
        ("90m", timedelta(minutes=90), timedelta(minutes=90)),
        ("off", None, None),
        (" OFF ", None, None),
    ],
)
def test_missing_orders_are_looked_for_where_credit_from_says_which_are_ours(
    monkeypatch: pytest.MonkeyPatch,
    value: str | None,
    with_credit_from: timedelta | None,
    without: timedelta | None,
) -> None:
    if value:
        monkeypatch.setenv("CREDITS_RECONCILE_EVERY", value)
    settings = load_settings()
    assert settings.reconcile_every(has_credit_from=True) == with_credit_from
    assert settings.reconcile_every(has_credit_from=False) == without


def test_all_problems_are_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_with(monkeypatch, PORT="http", LOG_LEVEL="loud", CREDITS_RETAIN="30")
    assert {line.split(":")[0] for line in problem.splitlines()} == {"PORT", "LOG_LEVEL", "CREDITS_RETAIN"}


def test_a_token_from_a_file_may_end_in_a_newline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounted secrets often do, and no request can be sent with a newline in its header."""
    assert settings_with(monkeypatch, POLAR_ACCESS_TOKEN="polar_oat_s3cret\n").require_token() == (
        "polar_oat_s3cret"
    )


@pytest.mark.parametrize(
    "token",
    [
        "polar_oat_s3\u20accret",
        "polar_oat_s3cret\nX: y",
        '"polar_oat_s3cret"',
        "polar_oat_s3cret # live",
        "\u200bpolar_oat_s3cret",
        "POLAR_ACCESS_TOKEN=polar_oat_s3cret",
        "polar_oat_s3cret;polar_oat_s3cret",
    ],
)
def test_a_token_that_fits_no_header_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    with pytest.raises(ConfigError, match="POLAR_ACCESS_TOKEN") as caught:
        polar_for(settings_with(monkeypatch, POLAR_ACCESS_TOKEN=token)).close()
    assert "s3" not in str(caught.value)


def test_settings_mask_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(
        monkeypatch,
        POLAR_ACCESS_TOKEN="polar_oat_s3cret",
        POLAR_WEBHOOK_SECRET="whsec_s3cret-of-sixteen",
        CREDITS_OPS_TOKEN="ops_s3cret-of-sixteen",
        REDIS_URL="redis://:s3cret@host",
        CREDITS_ALERT_URL="https://chat.example.com/s3cret",
        CREDITS_EVENTS_URL="https://shop.example.com/s3cret",
        CREDITS_EVENTS_SECRET="whsec_s3cret+of/sixteen/bytes+",
    )
    shown = f"{settings!r} {settings} {asdict(settings)}"
    assert "s3cret" not in shown


EVENTS = {
    "CREDITS_EVENTS_URL": "https://shop.example.com/credit-events",
    "CREDITS_EVENTS_SECRET": "whsec_c3RvcmVmcm9udC1hbmQtZ3JhbnRlcg",
}


def test_credit_events_have_a_url_and_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_with(monkeypatch, **EVENTS).require_events() == tuple(EVENTS.values())


def test_credit_events_without_a_secret_are_one_problem_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_with(monkeypatch, CREDITS_EVENTS_URL=EVENTS["CREDITS_EVENTS_URL"])
    assert problem == (
        "CREDITS_EVENTS_SECRET: it is not set, but CREDITS_EVENTS_URL is: make one with "
        "`echo whsec_$(openssl rand -base64 32)`, and set it here and in the storefront"
    )


def test_a_secret_alone_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(monkeypatch, CREDITS_EVENTS_SECRET=EVENTS["CREDITS_EVENTS_SECRET"])
    with pytest.raises(ConfigError, match="CREDITS_EVENTS_URL is not set"):
        settings.require_events()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        load_settings().port = 1  # type: ignore[misc] # that it is refused is the point


@pytest.mark.parametrize(
    ("require", "name"),
    [
        (Settings.require_redis_url, "REDIS_URL"),
        (Settings.require_token, "POLAR_ACCESS_TOKEN"),
        (Settings.require_secrets, "POLAR_WEBHOOK_SECRET"),
    ],
)
def test_what_is_required_and_missing_is_named_with_what_to_do(require: object, name: str) -> None:
    assert callable(require)
    with pytest.raises(ConfigError, match=f"{name} is not set: .+"):
        require(load_settings())


def test_commas_alone_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="POLAR_WEBHOOK_SECRET is not set"):
        settings_with(monkeypatch, POLAR_WEBHOOK_SECRET=" , ,").require_secrets()


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("LOG_LEVEL", "INFO", "log_level", "info"),
        ("LOG_LEVEL", "warn", "log_level", "warning"),
        ("LOG_LEVEL", " Warning ", "log_level", "warning"),
        ("LOG_FORMAT", "JSON", "log_format", "json"),
        ("HOST", "[::]", "host", "::"),
        ("HOST", "::1", "host", "::1"),
    ],
)
def test_usual_spellings_are_understood(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, expected: str
) -> None:
    assert getattr(settings_with(monkeypatch, **{name: value}), field) == expected


def test_a_data_folder_is_expanded_as_a_shell_would(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHOP", "pets")
    for value in ("~/$SHOP/x", "~/${SHOP}/x"):
        assert settings_with(monkeypatch, CREDITS_DATA_DIR=value).data_dir == tmp_path / "pets" / "x"
    assert "SHOOP in it is not set" in problem_with(monkeypatch, CREDITS_DATA_DIR="$SHOOP/x")
    assert "~nobody-here" not in problem_with(monkeypatch, CREDITS_DATA_DIR="~nobody-here/x")


def test_without_a_home_only_the_embedded_redis_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.settings.user_state_path", lambda _name: Path("~/.local/state"))
    settings = settings_with(monkeypatch, REDIS_URL="redis://h")
    with pytest.raises(ConfigError, match="CREDITS_DATA_DIR is not set, and this user has no home"):
        _ = settings.data_dir


def test_the_receiver_reads_only_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLAR_ACCESS_TOKEN", "a token\nwith a line break")
    monkeypatch.setenv("POLAR_SERVER", "staging")
    monkeypatch.setenv("CREDITS_RETAIN", "for ever")
    monkeypatch.setenv("PORT", "9001")
    assert load_receiver_settings().port == 9001
    with pytest.raises(ConfigError):
        load_settings()


def test_a_token_of_ours_that_could_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_with(monkeypatch, CREDITS_OPS_TOKEN="hunter2")
    assert problem == "CREDITS_OPS_TOKEN: it has fewer than 16 characters, so others could guess it"
