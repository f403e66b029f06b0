"""The only reader of ids: a UUID as people and programs write it becomes the spelling that Polar uses."""

import re

_POLARS_SPELLING = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# The schema for editors uses this pattern too, so it must mean the same in JavaScript.
_WITH_DASHES = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UUID = f"({_WITH_DASHES}|[0-9a-fA-F]{{32}})"
UUID_PATTERN = rf"((urn:uuid:)?{_UUID}|\{{{_UUID}\}})"


def read_id(text: str) -> str:
    """Return the id in lower case with dashes; ValueError if ``text`` is no UUID.

    Capitals, braces, ``urn:uuid:`` in front and missing dashes are accepted. Python's ``UUID()`` accepts much
    more, such as underscores and spaces, and makes another id of it.
    """
    if _POLARS_SPELLING.fullmatch(text):
        return text
    if re.fullmatch(UUID_PATTERN, text) is None:
        raise ValueError("not an id (a UUID)")
    digits = re.sub("[^0-9a-f]", "", text.lower().removeprefix("urn:uuid:"))
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
