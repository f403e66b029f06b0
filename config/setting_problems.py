"""Says in one line why the value of a setting is unusable."""

from collections.abc import Mapping
from typing import Any

from config.wording import quoted

# Messages that replace pydantic's own. They show the value, so no variable here may contain a secret.
_ALLOWED = {
    "PORT": "a port: write a number from 0 to 65535",
    "CREDITS_API_PORT": "a port: write a number from 0 to 65535",
    "LOG_FORMAT": "console or json",
    "LOG_LEVEL": "debug, info, warning or error",
    "CREDITS_POLAR_REQUESTS_PER_MINUTE": "a whole number from 2 to 100000",
    "CREDITS_FORGET_DELETED": "1 or 0",
    "CREDITS_REDIS_TLS_VERIFY": "full or none",
    "CREDITS_REDIS_CONNECTIONS": "a whole number from 4 to 1000",
}


def problem_line(name: str, error: Mapping[str, Any]) -> str:
    """Return what is wrong with the variable ``name``, by an error of pydantic."""
    if allowed := _ALLOWED.get(name):
        return f"{name}: {quoted(error['input'])} is not {allowed}"
    # The value is left out, because it may be a secret or contain one.
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"
