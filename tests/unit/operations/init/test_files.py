"""What ``credits init`` does to a folder: it adds what is missing, and keeps everything else."""

import os
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from config.rules.schema import schema_text
from config.rules.starter import SCHEMA_FILE
from workers.operations.init.files import EnvChanges, env_changes, secrets_with, write_env, write_rules

TOKEN, SECRET = "polar_oat_0123456789", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODk="


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_env_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    before = os.umask(0)
    try:
        write_env(path, {"POLAR_ACCESS_TOKEN": TOKEN, "POLAR_WEBHOOK_SECRET": SECRET})
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert path.read_text() == f"POLAR_ACCESS_TOKEN={TOKEN}\nPOLAR_WEBHOOK_SECRET={SECRET}\n"


def test_an_env_keeps_its_other_lines_its_order_and_its_comments(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# ours\nSHOP='a b'\nPOLAR_ACCESS_TOKEN=\n#POLAR_SERVER=production\nPORT=9001")
    write_env(path, {"POLAR_ACCESS_TOKEN": TOKEN, "POLAR_SERVER": "sandbox", "PORT": "9001"})
    assert path.read_text() == (
        f"# ours\nSHOP='a b'\nPOLAR_ACCESS_TOKEN={TOKEN}\n#POLAR_SERVER=production\nPORT=9001\n"
        "POLAR_SERVER=sandbox\n"
    )


def test_what_has_its_value_already_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("export POLAR_SERVER='sandbox' # until we go live\n")
    write_env(path, {"POLAR_SERVER": "sandbox"})
    assert path.read_text() == "export POLAR_SERVER='sandbox' # until we go live\n"


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o640), (0o640, 0o640), (0o600, 0o600)])
def test_an_env_that_others_could_read_is_closed_to_them_and_the_group_keeps_it(
    tmp_path: Path, before: int, after: int
) -> None:
    path = tmp_path / ".env"
    path.write_text("PORT=1\n")
    path.chmod(before)
    write_env(path, {"POLAR_ACCESS_TOKEN": TOKEN})
    assert mode(path) == after


def test_an_env_that_is_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("PORT=1\n")
    (tmp_path / ".env").symlink_to("real")
    write_env(tmp_path / ".env", {"POLAR_SERVER": "sandbox"})
    assert (tmp_path / ".env").is_symlink()
    assert (tmp_path / "real").read_text() == "PORT=1\nPOLAR_SERVER=sandbox\n"


def test_a_byte_order_mark_stays_alone_and_first(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbfPORT=1\n")
    write_env(path, {"POLAR_SERVER": "sandbox"})
    assert path.read_bytes() == b"\xef\xbb\xbfPORT=1\nPOLAR_SERVER=sandbox\n"


@pytest.mark.parametrize("value", ["our rules/it's.yaml", "a#b", "x y", "C:\\rules.yaml", "日本.yaml"])
def test_any_path_is_read_back_as_it_was_written(tmp_path: Path, value: str) -> None:
    path = tmp_path / ".env"
    write_env(path, {"CREDITS_RULES": value})
    assert dotenv_values(path) == {"CREDITS_RULES": value}


def test_changes_are_names_with_another_value_and_additions_names_without_one(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\nB=2\nC=\n")
    found = env_changes(path, {"A": "1", "B": "3", "C": "4", "D": "5"})
    assert found == EnvChanges(added=("C", "D"), changed=("B",))
    assert env_changes(tmp_path / "none", {"A": "1"}) == EnvChanges(added=("A",), changed=())


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (None, SECRET),
        ("", SECRET),
        (SECRET, SECRET),
        (f"whsec_of-another-endpoint-1,{SECRET}", f"whsec_of-another-endpoint-1,{SECRET}"),
        ("whsec_of-another-endpoint-1", f"{SECRET},whsec_of-another-endpoint-1"),
        ("whsec_...", SECRET),
    ],
)
def test_a_secret_that_works_is_kept_beside_the_endpoints_own(present: str | None, expected: str) -> None:
    assert secrets_with(SECRET, present) == expected


def test_a_rules_file_comes_with_its_schema_which_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "config" / "rules.yaml"
    write_rules(path, "version: 1\n")
    schema = path.with_name(SCHEMA_FILE)
    assert (path.read_text(), schema.read_text()) == ("version: 1\n", schema_text())
    assert mode(path) == mode(schema) == 0o644
    schema.write_text("{}")
    write_rules(path, "version: 1\nrules: []\n")
    assert schema.read_text() == "{}"
    assert sorted(one.name for one in path.parent.iterdir()) == [SCHEMA_FILE, "rules.yaml"]
