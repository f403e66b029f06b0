"""The settings: valid values, and the messages for invalid ones."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from app.cli.output import store_name
from config.errors import ConfigError
from config.settings import (
    Settings,
    find_unknown_settings,
    load_receiver_settings,
    load_settings,
)
from tests.support.paths import ROOT
from workers.runtime import polar_for

VARIABLES = (
    "POLAR_ACCESS_TOKEN", "POLAR_WEBHOOK_SECRET", "POLAR_SERVER", "REDIS_URL", "CREDITS_RULES",
    "CREDITS_DATA_DIR", "HOST", "PORT", "LOG_FORMAT", "LOG_LEVEL", "CREDITS_OPS_TOKEN", "CREDITS_RETAIN",
    "CREDITS_ALERT_URL", "CREDITS_RECONCILE_EVERY",
    "CREDITS_FORGET_DELETED",
)  # fmt: skip


OLD, NEW = "whsec_0123456789abcdef", "polar_whs_fedcba9876543210"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the machine's own variables and the project's ``.env`` file."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def settings_with(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def problem_with(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_with(monkeypatch, **variables)
    return str(caught.value)


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


OTHER_NAMES = [
    name.upper() for name, field in Settings.model_fields.items() if name.upper() != field.validation_alias
]


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_setting_is_read_by_its_documented_name_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """ACCESS_TOKEN or DATA_DIR belong to other programs."""
    unset = load_settings()
    assert settings_with(monkeypatch, **{name: "x"}) == unset


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


def test_a_dot_env_file_is_read_and_the_environment_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=9001\nHOST=::1\nSOMETHING_ELSE=of the storefront's\n")
    settings = settings_with(monkeypatch, HOST="0.0.0.0")  # noqa: S104 - only read
    assert (settings.port, settings.host) == (9001, "0.0.0.0")  # noqa: S104


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
    )
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "s3cret" not in shown


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


def test_the_example_of_an_env_file_sets_nothing_that_nobody_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    example = ROOT / ".env.example"
    every_line = example.read_text().replace("\n#", "\n")
    names = set(re.findall("^([A-Z_]+)=", every_line, re.MULTILINE))
    (tmp_path / ".env").write_text("\n".join(f"{name}=" for name in names))
    assert len(names) > 10
    assert names <= {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert [words for words in find_unknown_settings() if words.startswith(".env")] == []


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
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


@pytest.mark.parametrize("written", [b"\xff\xfeP\x00O\x00R\x00T\x00", b"SHOP=caf\xe9\n"])
def test_an_env_file_in_another_encoding_is_one_line(written: bytes, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(written)
    with pytest.raises(
        ConfigError, match=r"^\.env cannot be read: it is not UTF-8; save it in that encoding$"
    ):
        load_settings()
    assert find_unknown_settings() == []


def test_a_byte_order_mark_belongs_to_no_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPORT=9001\n")
    assert load_settings().port == 9001


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
