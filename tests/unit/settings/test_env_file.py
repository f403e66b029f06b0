"""The file ``.env``: what is read from it, in which encoding, and that its example is true."""

import re
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.setting_names import find_unknown_settings
from config.settings import SETTING_NAMES, load_settings
from tests.support.environment import settings_with
from tests.support.paths import ROOT


def test_a_dot_env_file_is_read_and_the_environment_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=9001\nHOST=::1\nSOMETHING_ELSE=of the storefront's\n")
    settings = settings_with(monkeypatch, HOST="0.0.0.0")  # noqa: S104 - only read
    assert (settings.port, settings.host) == (9001, "0.0.0.0")  # noqa: S104


def test_the_example_of_an_env_file_sets_nothing_that_nobody_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    example = ROOT / ".env.example"
    every_line = example.read_text().replace("\n#", "\n")
    names = set(re.findall("^([A-Z_]+)=", every_line, re.MULTILINE))
    (tmp_path / ".env").write_text("\n".join(f"{name}=" for name in names))
    assert len(names) > 10
    assert names <= set(SETTING_NAMES)
    assert [words for words in find_unknown_settings() if words.startswith(".env")] == []


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
