"""Trains the dictionary with which bodies are compressed: ``python -m bench.dictionary FILE``.

Run it only for a new dictionary: bodies that are stored with one can be read with no other. What could belong
to a person or a seller is replaced by random text first, so the dictionary holds field names and Polar's own
words alone.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from string import ascii_lowercase
from uuid import UUID

import zstandard

from workers.core.envelope import STORED_TYPES, peek_type

_RECORDED = Path(__file__).parents[1] / "tests" / "payloads"
_NUMBER = 2  # of the next dictionary
_BYTES = 16_384  # half as much compresses a little worse, twice as much no better
_COPIES = 30  # of each recorded body

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?")
_AMOUNT = re.compile(r"(?<=:)\s?\d{2,}(?=[,}])")
_TEXT = re.compile(r'(?<=:)\s?"([^"]*)"')
_POLARS_WORD = re.compile(r"[a-z_.]*")  # such as a status, a type, a billing reason


def main() -> None:
    """Write the dictionary to the file that is named."""
    recorded = [path.read_text() for path in sorted(_RECORDED.glob("*.json")) if ".headers" not in path.name]
    samples = list(_samples([body for body in recorded if peek_type(body.encode()) in STORED_TYPES]))
    trained = zstandard.train_dictionary(_BYTES, samples, level=3, dict_id=_NUMBER)
    Path(sys.argv[1]).write_bytes(trained.as_bytes())


def _samples(bodies: list[str]) -> "Iterator[bytes | bytearray | memoryview[int]]":
    random = Random(_NUMBER)  # noqa: S311 - nothing secret
    for body in bodies:
        for _ in range(_COPIES):
            yield _varied(body, random).encode()


def _varied(body: str, random: Random) -> str:
    """Return a body as another seller's other customer would cause it; equal values stay equal."""
    seen: dict[str, str] = {}

    def identifier(found: re.Match[str]) -> str:
        return seen.setdefault(found[0], str(UUID(int=random.getrandbits(128), version=4)))

    def moment(found: re.Match[str]) -> str:
        month, day, hour, rest = (
            random.randint(low, high) for low, high in ((1, 12), (1, 28), (0, 23), (0, 59))
        )
        fraction = f".{random.randint(0, 999_999):06}" if "." in found[0] else ""
        return seen.setdefault(found[0], f"2026-{month:02}-{day:02}T{hour:02}:{rest:02}:{rest:02}{fraction}")

    def amount(found: re.Match[str]) -> str:
        return seen.setdefault(found[0], str(random.randint(1, 10 ** len(found[0].strip()))))

    def text(found: re.Match[str]) -> str:
        if _POLARS_WORD.fullmatch(found[1]) or _ID.search(found[0]) or _MOMENT.search(found[0]):
            return found[0]
        letters = (random.choice(ascii_lowercase) if one.isalnum() else one for one in found[1])
        return found[0].replace(found[1], seen.setdefault(found[1], "".join(letters)))

    for pattern, vary in ((_TEXT, text), (_ID, identifier), (_MOMENT, moment), (_AMOUNT, amount)):
        body = pattern.sub(vary, body)
    return body


if __name__ == "__main__":
    main()
