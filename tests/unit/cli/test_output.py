"""How results are printed for programs."""

import json
from collections.abc import Iterator

import pytest

from app.cli.output import print_json, streamed


@pytest.mark.parametrize("count", [0, 1, 3])
def test_streamed_rows_are_printed_as_a_list_would_be(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"number": number, "of": [1, {"a": None}]} for number in range(count)]
    print_json({"rows": streamed(iter(rows)), "more": []})
    assert capsys.readouterr().out == json.dumps({"rows": rows, "more": []}, indent=2) + "\n"


def test_a_streamed_row_is_printed_before_the_next_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    printed: list[str] = []

    def make() -> Iterator[int]:
        for number in (1, 2, 3):
            yield number
            printed.append(capsys.readouterr().out)

    print_json(streamed(make()))
    assert [text.strip(" \n[,") for text in printed] == ["1", "2", "3"]
