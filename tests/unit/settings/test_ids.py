"""An id has one spelling, whichever way it was written; what is not clearly an id is refused."""

import re
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config.ids import read_id

ID = "99130a7b-29f6-4003-9a81-21b0361c7186"
DIGITS = ID.replace("-", "")


@pytest.mark.parametrize(
    "text",
    [ID, ID.upper(), DIGITS, f"urn:uuid:{ID}", f"urn:uuid:{DIGITS}", f"{{{ID}}}", f"{{{DIGITS.upper()}}}"],
)
def test_every_unambiguous_spelling_is_the_same_id(text: str) -> None:
    assert read_id(text) == ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "99130a7b_29f640039a8121b0361c718",  # another id for UUID()
        "99130a7b_29f6_4003_9a81_21b0361c",
        "0x130a7b29f640039a8121b0361c7186",
        "+9130a7b29f640039a8121b0361c7186",
        " 9130a7b29f640039a8121b0361c7186",
        "٩9130a7b29f640039a8121b0361c7186",
        DIGITS[:-1],
        DIGITS + "0",
        ID.replace("-", "", 1),
        ID.replace("-", "\N{EN DASH}"),
        "9913-0a7b29f6-4003-9a81-21b0361c7186",
        f"{{{ID}",
        f"{ID}}}",
        f"urn:uuid:{{{ID}}}",
        f"urn:{ID}",
        f"{ID}\n",
        f" {ID}",
    ],
)
def test_what_is_not_clearly_an_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an id \(a UUID\)"):
        read_id(text)


@given(st.uuids(), st.integers(0, 31), st.characters())
def test_a_character_that_is_no_digit_never_makes_an_id(uuid: UUID, place: int, character: str) -> None:
    assume(not re.fullmatch("[0-9a-fA-F]", character))
    text = uuid.hex[:place] + character + uuid.hex[place + 1 :]
    with pytest.raises(ValueError, match="not an id"):
        read_id(text)


@given(st.uuids())
def test_every_uuid_is_read_as_itself(uuid: UUID) -> None:
    assert {read_id(text) for text in (str(uuid), uuid.hex, uuid.urn, str(uuid).upper())} == {str(uuid)}
