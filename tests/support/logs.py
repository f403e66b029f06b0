"""What tests of logs log, and how they read it."""

import json
import logging
from typing import Any, Literal

import structlog

FORMATS: list[Literal["console", "json"]] = ["console", "json"]

LIBRARIES = ("rq.worker", "rq.job", "rq.scheduler", "httpx", "httpcore", "uvicorn.error")


def records(text: str) -> list[dict[str, Any]]:
    """Return the lines that were written for machines."""
    return [json.loads(line) for line in text.splitlines()]


def fail_with_secrets_about(token: str) -> None:
    """Fail where variables hold the token; the error's own words do not."""
    key = f"the signing key {token}".encode()
    raise ValueError(f"no use for {len(key)} bytes")


def log_everywhere(event: str, value: object) -> None:
    """Say it as we do, and as libraries do."""
    structlog.get_logger("ours").info(event, value=value)
    logging.getLogger("theirs").warning("%s", event)
    logging.getLogger("theirs").warning("of %s", value)


def fail_saying(words: str) -> None:
    """Fail with these words."""
    raise ValueError(words)


def raise_and_log(words: str) -> None:
    """Log an error with its traceback, as we do and as libraries do."""
    try:
        fail_saying(words)
    except ValueError:
        structlog.get_logger("ours").exception("broke")
        logging.getLogger("theirs").exception("broke")
