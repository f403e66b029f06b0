"""Logs tell nobody's address, no secret and no variable of the code that failed."""

import logging
from dataclasses import dataclass, field
from typing import Literal

import pytest
import structlog
from msgspec import Struct

from tests.support.logs import FORMATS, fail_with_secrets_about, log_everywhere, raise_and_log
from workers.monitoring.logs import configure_logging

SECRET = "sesame"


@pytest.mark.parametrize("log_format", FORMATS)
def test_nobodys_address_is_told(
    capsys: pytest.CaptureFixture[str], log_format: Literal["console", "json"]
) -> None:
    """A grant by hand to an address has it in its id and key; what is around it can still be read."""
    configure_logging(log_format, "info", process="worker")
    structlog.get_logger().info(
        "failed",
        delivery="manual-beta:ann+1@example.com:api_usage",
        keys=["credits:manual:beta:ann+1@example.com:api_usage"],
        reason="Polar knows nobody <ann+1@example.com>, and größe@example.com neither",
    )
    raise_and_log("no use for ann+1@example.com")
    written = capsys.readouterr().err
    assert "@" not in written
    assert "ann" not in written
    for words in ("manual-beta:...:api_usage", "credits:manual:beta:...:api_usage", "nobody <...>, and ..."):
        assert words in written


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_traceback_shows_no_values_of_variables(
    capsys: pytest.CaptureFixture[str], log_format: Literal["console", "json"]
) -> None:
    """Variables of the code that failed hold the token, signing keys, whole webhooks."""
    configure_logging(log_format, "info", process="receiver")
    for log in (structlog.get_logger("ours"), logging.getLogger("uvicorn.error")):
        try:
            fail_with_secrets_about("s3" + "cret")
        except ValueError:
            log.exception("broke")
    shown = capsys.readouterr().err
    assert shown.count("no use for") >= 2
    assert "s3cret" not in shown


@dataclass
class Discreet:
    """Something that hides a field when it is shown."""

    shown: str
    hidden: str = field(repr=False)


class Discreeter(Struct):
    """Something that hides all its fields when it is shown."""

    hidden: str

    def __repr__(self) -> str:
        return "Discreeter(...)"


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("value", [Discreet("open", SECRET), Discreeter(SECRET)])
def test_what_is_logged_shows_no_more_than_its_description(
    capsys: pytest.CaptureFixture[str], log_format: Literal["console", "json"], value: object
) -> None:
    configure_logging(log_format, "info", process="worker")
    log_everywhere("opened", value)
    log_everywhere("opened", [value])
    log_everywhere("opened", {"one": (value,)})
    written = capsys.readouterr().err
    assert written.count(repr(value)) == 6
    assert SECRET not in written


@pytest.mark.parametrize("library", ["httpx", "httpcore.connection"])
def test_the_url_of_a_request_is_told_at_no_level(capsys: pytest.CaptureFixture[str], library: str) -> None:
    """A customer is looked for by the address, which stands in it."""
    configure_logging("json", "debug", process="grant")
    logging.getLogger(library).info("GET /v1/customers/?email=jane%40example.com")
    logging.getLogger(library).debug("GET /v1/customers/?email=jane%40example.com")
    assert capsys.readouterr().err == ""
